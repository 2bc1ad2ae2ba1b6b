//! What it costs that an event stream keeps the policy under which it was opened.
