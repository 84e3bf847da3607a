//! The OAUTHBEARER message. RFC 7628 §3.1, over the GS2 header of RFC 5801 §4.

/// What a refused client is told, in base64. RFC 7628 §3.2.2.
pub(super) const INVALID_TOKEN: &str = "{\"status\":\"invalid_token\"}";

/// User and token of `n,a=USER,^Ahost=...^Aauth=Bearer TOKEN^A^A`. A message without user is none here: the token does
/// not say whose it is.
pub(super) fn read(message: &str) -> Option<(&str, &str)> {
    let (header, pairs) = message.split_once('\u{1}')?;
    // Channel binding (`p=`) is not offered; `y` says that the client could.
    let user =
        header.strip_prefix("n,").or_else(|| header.strip_prefix("y,"))?.strip_prefix("a=")?.strip_suffix(',')?;
    let mut pairs = pairs.strip_suffix("\u{1}\u{1}")?.split('\u{1}').map(|pair| pair.split_once('='));
    let auth = pairs.find_map(|pair| pair.filter(|(key, _)| *key == "auth"))?.1;
    let (scheme, token) = auth.split_once(' ')?;
    let is_whole = scheme.eq_ignore_ascii_case("Bearer") && !token.trim().is_empty() && !user.is_empty();
    // `=2C` and `=3D` stand for what may not; no address of ours has either.
    (is_whole && !user.contains('=')).then_some((user, token.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_token_are_found() {
        let message = "n,a=alice@satchel.test,\u{1}host=mx.test\u{1}port=587\u{1}auth=Bearer abc\u{1}\u{1}";
        assert_eq!(read(message), Some(("alice@satchel.test", "abc")));
        assert_eq!(read("y,a=al,\u{1}auth=bearer abc\u{1}\u{1}"), Some(("al", "abc")));
        for bad in [
            "",
            "n,,\u{1}auth=Bearer abc\u{1}\u{1}",
            "n,a=,\u{1}auth=Bearer abc\u{1}\u{1}",
            "p=tls-unique,a=al,\u{1}auth=Bearer abc\u{1}\u{1}",
            "n,a=al,\u{1}auth=Basic abc\u{1}\u{1}",
            "n,a=al,\u{1}auth=Bearer \u{1}\u{1}",
            "n,a=al,\u{1}host=x\u{1}\u{1}",
            "n,a=al,\u{1}auth=Bearer abc\u{1}",
        ] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }
}
