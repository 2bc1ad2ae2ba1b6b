//! Money in the name of a tool.

use super::Category;

/// Words that make a tool Financial whatever its verb, wherever they stand within a word: names in one piece, products.
const MONEY: &[&str] = &["billing", "invoice", "payment", "payout", "payroll", "refund", "subscription"];

/// Words that do so together with a verb that changes something. Sorted.
#[rustfmt::skip]
const BUSINESS: &[&str] = &[
    "bank", "bid", "bill", "bills", "btc", "credit", "credits", "crypto", "deposit", "donation", "eth", "expense",
    "expenses", "fund", "funds", "loan", "loans", "money", "order", "orders", "settlement", "settlements", "spend",
    "trade", "trades", "usdc", "usdt", "wallet", "withdrawal",
];

/// What a `checkout` of goods goes with, as against one of a branch.
const CHECKOUT: &[&str] = &["cart", "complete", "create", "link", "order", "session", "start", "submit", "url"];

/// What databases call a transaction. Sorted.
const DATABASE: &[&str] = &["abort", "begin", "commit", "db", "migration", "rollback", "run", "span", "sql", "trace"];

/// What makes an `order` a sequence or a task.
const NO_ORDER: &[&str] = &["by", "column", "display", "field", "sort", "tab", "work"];

/// What is handed over without being paid. Sorted.
#[rustfmt::skip]
const HANDED_OVER: &[&str] = &[
    "app", "call", "chat", "conversation", "data", "domain", "file", "files", "issue", "lead", "owner", "ownership",
    "project", "repo", "repository", "task", "ticket", "workspace",
];

/// The word of a name that speaks of money, given what the verb says.
pub(super) fn named(words: &[String], verb: Option<Category>) -> Option<&str> {
    let is_one_of = |list: &[&str], word: &String| list.binary_search(&word.as_str()).is_ok();
    let is_sequence = words.iter().any(|word| NO_ORDER.contains(&word.as_str()));
    let is_database = words.iter().any(|word| is_one_of(DATABASE, word));
    let is_sale = words.len() == 1 || words.iter().any(|word| CHECKOUT.contains(&word.as_str()));
    let is_transfer = !words.iter().any(|word| is_one_of(HANDED_OVER, word));
    let changes = matches!(verb, Some(Category::Write | Category::Execute | Category::Financial));
    let is_money = |word: &&String| {
        MONEY.iter().any(|money| word.contains(money))
            || word.starts_with("charge") && !word.starts_with("charger")
            || word.starts_with("transaction") && !is_database
            || *word == "checkout" && is_sale && changes
            || word.starts_with("transfer") && is_transfer
            || changes && is_one_of(BUSINESS, word) && !(word.starts_with("order") && is_sequence)
    };
    words.iter().find(is_money).map(String::as_str)
}

/// Whether a word of a description is money, whatever is done with it.
pub(super) fn is_meant(word: &str) -> bool {
    MONEY.iter().any(|money| word.starts_with(money)) && !word.starts_with("subscription")
}

/// Whether a word of a description is money that is made or moved, as the object of a verb that changes something.
pub(super) fn is_object(word: &str) -> bool {
    ["charge", "fund", "invoice", "money", "payment", "payout", "refund"]
        .contains(&word.strip_suffix('s').unwrap_or(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted() {
        assert!([BUSINESS, DATABASE, HANDED_OVER].iter().all(|list| list.is_sorted()));
    }
}
