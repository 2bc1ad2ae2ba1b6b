// Stateless servers in Go: of both eras on the Go SDK, or, with the argument `plain`, on the standard library alone.
// Says on stderr where it listens, on stdout what it runs.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// The tools that the corpus calls.
var tools = []string{"echo", "Echo", "free", "danger", "denied", "refund", "transfer", "record", "account", "spend", "mail"}

// Both values are JSON text.
type run struct {
	Case      string  `json:"case"`
	Tool      string  `json:"tool"`
	Arguments *string `json:"arguments"`
}

func record(marker string, tool string, arguments json.RawMessage) error {
	name, err := json.Marshal(tool)
	if err != nil {
		return err
	}
	line := run{Case: marker, Tool: string(name)}
	if arguments != nil {
		text := string(arguments)
		line.Arguments = &text
	}
	return json.NewEncoder(os.Stdout).Encode(line)
}

func call(_ context.Context, request *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	marker := ""
	if request.Extra != nil {
		marker = request.Extra.Header.Get("x-case")
	}
	if err := record(marker, request.Params.Name, request.Params.Arguments); err != nil {
		return nil, err
	}
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "ran"}}}, nil
}

func sdk() http.Handler {
	server := mcp.NewServer(&mcp.Implementation{Name: "go", Version: "1"}, nil)
	for _, name := range tools {
		server.AddTool(&mcp.Tool{Name: name, InputSchema: json.RawMessage(`{"type":"object"}`)}, call)
	}
	options := &mcp.StreamableHTTPOptions{Stateless: true, JSONResponse: true}
	handler := http.NewServeMux()
	handler.Handle("/mcp", mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, options))
	return handler
}

func main() {
	handler := sdk()
	if len(os.Args) > 1 && os.Args[1] == "plain" {
		handler = http.HandlerFunc(plain)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Fprintln(os.Stderr, "listening on", listener.Addr())
	panic(http.Serve(listener, handler))
}
