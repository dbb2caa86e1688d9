//! How names of the schema become names in Rust.

/// `TopicId` becomes `topic_id`, `KRaftVersionFeature` becomes `kraft_version_feature`.
pub fn snake(name: &str) -> String {
    let name = name.replace("KRaft", "Kraft");
    let letters: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (index, letter) in letters.iter().enumerate() {
        let after_lower = index > 0 && !letters[index - 1].is_ascii_uppercase();
        let before_lower = letters.get(index + 1).is_some_and(char::is_ascii_lowercase);
        if letter.is_ascii_uppercase() && index > 0 && (after_lower || before_lower) {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

/// As `snake`, where a word of Rust's own needs its escape.
pub fn field(name: &str) -> String {
    let name = snake(name);
    if ["type", "match", "as", "in", "ref", "self", "use", "where", "loop", "static"].contains(&name.as_str()) {
        return format!("r#{name}");
    }
    name
}
