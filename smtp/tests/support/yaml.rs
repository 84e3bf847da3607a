//! Reads the YAML that the published test suites are written in: block maps and lists, flow lists, quoted, folded and
//! literal texts, several documents in a file. Not a YAML reader for anything else.

/// One value. Numbers are texts.
#[derive(Debug, Clone, PartialEq)]
pub enum Yaml {
    Text(String),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
}

impl Yaml {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The text of a key; panics without it.
    pub fn text(&self, key: &str) -> &str {
        self.get(key).and_then(Self::as_text).unwrap_or_else(|| panic!("no {key} in {self:?}"))
    }

    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub fn entries(&self) -> &[(String, Self)] {
        if let Self::Map(entries) = self { entries } else { &[] }
    }

    /// The items of a list; a text counts as a list of one.
    pub fn items(&self) -> Vec<&Self> {
        match self {
            Self::List(items) => items.iter().collect(),
            other => vec![other],
        }
    }
}

/// All documents of a file.
pub fn documents(file: &str) -> Vec<Yaml> {
    let mut documents = vec![Vec::new()];
    for line in file.lines() {
        if line.trim_end() == "---" {
            documents.push(Vec::new());
        } else {
            documents.last_mut().unwrap().push(line.to_owned());
        }
    }
    let mut read: Vec<Yaml> = Vec::new();
    for lines in documents {
        let mut reader = Reader { lines, at: 0 };
        if reader.peek().is_some() {
            read.push(reader.node(0));
            assert!(reader.peek().is_none(), "left over: {:?}", reader.peek());
        }
    }
    read
}

struct Reader {
    lines: Vec<String>,
    at: usize,
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

impl Reader {
    /// The next line that says something.
    fn peek(&mut self) -> Option<String> {
        while let Some(line) = self.lines.get(self.at) {
            let text = line.trim();
            if !text.is_empty() && !text.starts_with('#') {
                return Some(line.clone());
            }
            self.at += 1;
        }
        None
    }

    fn node(&mut self, least: usize) -> Yaml {
        let Some(line) = self.peek().filter(|line| indent(line) >= least) else { return Yaml::Text(String::new()) };
        let depth = indent(&line);
        let text = line.trim();
        if text == "-" || text.starts_with("- ") {
            return self.list(depth);
        }
        if key(text).is_some() {
            return self.map(depth);
        }
        self.at += 1;
        self.value(text, depth)
    }

    fn list(&mut self, depth: usize) -> Yaml {
        let mut items = Vec::new();
        while let Some(line) = self.peek().filter(|line| indent(line) == depth && line.trim().starts_with('-')) {
            // What follows the mark stands as if it were indented by it.
            self.lines[self.at] = line.replacen('-', " ", 1);
            items.push(self.node(depth + 1));
        }
        Yaml::List(items)
    }

    fn map(&mut self, depth: usize) -> Yaml {
        let mut entries = Vec::new();
        while let Some(line) = self.peek().filter(|line| indent(line) == depth) {
            let Some((name, rest)) = key(line.trim()) else { break };
            let (name, rest) = (name.to_owned(), rest.trim().to_owned());
            self.at += 1;
            let value = if rest.is_empty() {
                let is_list = self.peek().is_some_and(|line| indent(&line) == depth && line.trim().starts_with("- "));
                self.node(if is_list { depth } else { depth + 1 })
            } else {
                self.value(&rest, depth)
            };
            entries.push((name, value));
        }
        Yaml::Map(entries)
    }

    /// A text or a flow list that begins in this line; it goes on in lines that are deeper than `depth`.
    fn value(&mut self, first: &str, depth: usize) -> Yaml {
        match first.as_bytes()[0] {
            b'|' | b'>' => return Yaml::Text(self.block(first, depth)),
            b'[' => {
                let inner =
                    first.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).expect("a list in one line");
                return Yaml::List(flow(inner));
            }
            quote @ (b'"' | b'\'') => {
                let mut text = first.to_owned();
                while closing(&text, quote).is_none() {
                    text = format!("{} {}", text.trim_end(), self.lines[self.at].trim());
                    self.at += 1;
                }
                return Yaml::Text(unquote(&text[..=closing(&text, quote).unwrap()]));
            }
            _ => {}
        }
        let mut text = without_comment(first).to_owned();
        while let Some(line) = self.lines.get(self.at).filter(|line| indent(line) > depth && !line.trim().is_empty()) {
            text = format!("{text} {}", without_comment(line.trim()));
            self.at += 1;
        }
        Yaml::Text(text)
    }

    /// `|` keeps its line ends, `>` folds them; `-` takes the last one away.
    fn block(&mut self, mark: &str, depth: usize) -> String {
        let begun = self.at;
        let is_blank = |line: &String| line.trim_matches(' ').is_empty();
        while self.lines.get(self.at).is_some_and(|line| is_blank(line) || indent(line) > depth) {
            self.at += 1;
        }
        let raw = &self.lines[begun..self.at];
        let margin = raw.iter().find(|line| !is_blank(line)).map_or(0, |line| indent(line));
        let mut lines: Vec<&str> = raw.iter().map(|line| line.get(margin..).unwrap_or_default()).collect();
        while lines.last().is_some_and(|line| line.is_empty()) {
            lines.pop();
        }
        let mut text = lines.join(if mark.starts_with('|') { "\n" } else { " " });
        if !mark.ends_with('-') && !lines.is_empty() {
            text.push('\n');
        }
        text
    }
}

/// `name: rest`.
fn key(text: &str) -> Option<(&str, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let end = quoted.find("\":")?;
        return Some((&quoted[..end], &quoted[end + 2..]));
    }
    let at = text.find(": ").or_else(|| text.ends_with(':').then(|| text.len() - 1))?;
    let name = &text[..at];
    (!name.contains([' ', '"', '\'', '['])).then(|| (name, &text[at + 1..]))
}

fn without_comment(text: &str) -> &str {
    text.find(" #").map_or(text, |at| &text[..at]).trim_end()
}

/// Where the quote that opens a text is closed.
fn closing(text: &str, quote: u8) -> Option<usize> {
    let octets = text.as_bytes();
    let mut at = 1;
    while at < octets.len() {
        match octets[at] {
            b'\\' if quote == b'"' => at += 1,
            octet if octet == quote && quote == b'\'' && octets.get(at + 1) == Some(&quote) => at += 1,
            octet if octet == quote => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

fn unquote(text: &str) -> String {
    let inner = &text[1..text.len() - 1];
    if text.starts_with('\'') {
        return inner.replace("''", "'");
    }
    let mut out = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('x') => {
                let code: String = chars.by_ref().take(2).collect();
                out.push(char::from(u8::from_str_radix(&code, 16).unwrap()));
            }
            Some('n') => out.push('\n'),
            Some('0') => out.push('\0'),
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

fn flow(inner: &str) -> Vec<Yaml> {
    let mut items = Vec::new();
    let mut rest = inner.trim();
    while !rest.is_empty() {
        let quote = rest.as_bytes()[0];
        let (item, after) = if quote == b'"' || quote == b'\'' {
            let end = closing(rest, quote).unwrap();
            (unquote(&rest[..=end]), &rest[end + 1..])
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            (rest[..end].trim().to_owned(), &rest[end..])
        };
        items.push(Yaml::Text(item));
        rest = after.trim_start().trim_start_matches(',').trim_start();
    }
    items
}
