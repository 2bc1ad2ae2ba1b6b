package main

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
)

// A server without an SDK, as loose as the standard library makes it: encoding/json takes member names in any case and
// the last of several, reads the first value of a body and leaves the rest; any path, any method, any media type.
func plain(writer http.ResponseWriter, request *http.Request) {
	var body io.Reader = request.Body
	if request.Header.Get("content-encoding") == "gzip" {
		if unpacked, err := gzip.NewReader(request.Body); err == nil {
			body = unpacked
		}
	}
	var message struct {
		ID     json.RawMessage
		Method string
		Params struct {
			Name      string
			Arguments json.RawMessage
		}
	}
	if err := json.NewDecoder(body).Decode(&message); err != nil {
		http.Error(writer, err.Error(), http.StatusBadRequest)
		return
	}
	if message.Method == "tools/call" {
		if err := record(request.Header.Get("x-case"), message.Params.Name, message.Params.Arguments); err != nil {
			http.Error(writer, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	if message.ID == nil {
		writer.WriteHeader(http.StatusAccepted)
		return
	}
	writer.Header().Set("content-type", "application/json")
	result := map[string]any{"content": []any{map[string]any{"type": "text", "text": "ran"}}}
	answer := map[string]any{"jsonrpc": "2.0", "id": message.ID, "result": result}
	if err := json.NewEncoder(writer).Encode(answer); err != nil {
		panic(err)
	}
}
