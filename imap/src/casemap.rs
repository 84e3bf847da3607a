//! i;unicode-casemap (RFC 5051): how SEARCH, SORT and THREAD compare text (RFC 5255 §4.1, I18NLEVEL=1).

use unicode_normalization::UnicodeNormalization as _;

/// The form in which texts are compared octet by octet: equal means equal without case, and an accent follows its
/// letter, so that `café` contains `cafe` (RFC 5051 §2).
pub(crate) fn casemap(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_uppercase();
    }
    text.chars().map(titlecase).nfkd().collect()
}

/// The simple titlecase mapping of UnicodeData.txt, which RFC 5051 §2 step 1 names: never more than one character.
fn titlecase(character: char) -> char {
    let up = |by: u32| char::from_u32(character as u32 + by).unwrap_or(character);
    match character {
        'a'..='z' => character.to_ascii_uppercase(),
        '\0'..='\u{7f}' => character,
        // Digraphs have a form of their own for the beginning of a word.
        'Ǆ' | 'ǅ' | 'ǆ' => 'ǅ',
        'Ǉ' | 'ǈ' | 'ǉ' => 'ǈ',
        'Ǌ' | 'ǋ' | 'ǌ' => 'ǋ',
        'Ǳ' | 'ǲ' | 'ǳ' => 'ǲ',
        // Georgian has capitals, but no titlecase.
        '\u{10d0}'..='\u{10fa}' | '\u{10fd}'..='\u{10ff}' => character,
        // Greek with iota subscript: the full mapping is longer, the simple one is not.
        '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => up(8),
        '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => up(9),
        _ => {
            let mut upper = character.to_uppercase();
            match (upper.next(), upper.next()) {
                (Some(one), None) => one,
                // `ß` and the like have no simple mapping.
                _ => character,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_compare_without_case_and_form() {
        for (a, b) in [
            ("Hello", "hELLO"),
            ("grüße", "GRÜßE"),
            ("gru\u{308}n", "GRÜN"),
            ("\u{1c4}", "\u{1c6}"),
            ("\u{212a}", "k"),
            ("ﾊﾟ", "パ"),
            ("ᾳ", "ᾼ"),
            ("ſ", "s"),
        ] {
            assert_eq!(casemap(a), casemap(b), "{a} {b}");
        }
        for (a, b) in [("ß", "ss"), ("ა", "Ა"), ("é", "e"), ("i", "ı\u{307}")] {
            assert_ne!(casemap(a), casemap(b), "{a} {b}");
        }
        assert_eq!(casemap("é"), "E\u{301}");
    }
}
