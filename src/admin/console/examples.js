// What the playground begins with: a policy with all that can be chosen, its tools, and a call.

/** The example's policy. */
export const POLICY = `{
  "version": "1",
  "name": "shop",
  "default": "deny",
  "hide": ["delete_*"],
  "tools": {
    "get_*": {},
    "send_email": {
      "limits": [{ "counter": "emails", "window": "hour", "max": 10 }]
    },
    "create_refund": {
      "deny_if": [
        { "path": "args.amount", "op": "gt", "value": 500 }
      ],
      "require_approval": [
        {
          "path": "args.amount", "op": "gt", "value": 50,
          "on_deny": "Refunds over 50 need a person."
        }
      ]
    }
  }
}`;

/** The least that a policy has to say. */
export const EMPTY = `{
  "version": "1",
  "default": "deny",
  "tools": {}
}`;

/** A call of the example. */
export const CALL = `{
  "tool": "create_refund",
  "arguments": { "charge": "ch_1", "amount": 80 }
}`;

const tool = (name, description) => ({ name, description, inputSchema: { type: "object" } });

const refund = {
  name: "create_refund",
  description: "Gives money back to a customer.",
  inputSchema: { type: "object", properties: { charge: { type: "string" }, amount: { type: "number" } } },
};

/** The example's tools, as a server lists them. */
export const TOOLS = JSON.stringify([
  tool("get_order", "Reads one order."),
  tool("get_customer", "Reads a customer's address and orders."),
  tool("send_email", "Sends an email to a customer."),
  refund,
  tool("close_order", "Closes an order that has been delivered."),
  tool("delete_order", "Removes an order and its history."),
]);
