//! The words in which PostgreSQL differs from the SQL that the queries are written in.
//!
//! The queries keep to what both understand (`IS NOT DISTINCT FROM`, `ON CONFLICT`, `RETURNING`, `string_agg`). What is
//! left: parameters are `?` and `?1` there and `$1` here; two hints to SQLite's planner mean nothing; the
//! numbers that were given last are in a table of ours; `LIKE`, which does not tell `a` from `A` in SQLite, is `ILIKE`; and
//! the order in which rows of `certificates` came, which no clock decides, is that of the transactions that wrote them.

/// The text of a query for PostgreSQL.
pub(super) fn postgres(sql: &str) -> String {
    let mut text = String::with_capacity(sql.len() + 16);
    let mut next = 1_u32;
    let mut parts = sql.split('\'');
    let mut quoted = false;
    // What stands between quotation marks is a value.
    if let Some(first) = parts.next() {
        plain(first, &mut next, &mut text);
    }
    for part in parts {
        text.push('\'');
        quoted = !quoted;
        if quoted {
            text.push_str(part);
        } else {
            plain(part, &mut next, &mut text);
        }
    }
    text
}

fn plain(part: &str, next: &mut u32, text: &mut String) {
    let part = part
        .replace(" NOT INDEXED", "")
        .replace("CROSS JOIN", "JOIN")
        .replace("sqlite_sequence", "sequences")
        .replace("certificates.rowid", "-age(certificates.xmin)")
        .replace(" LIKE ", " ILIKE ");
    let mut letters = part.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != '?' {
            text.push(letter);
            continue;
        }
        text.push('$');
        let mut numbered = false;
        while let Some(digit) = letters.next_if(char::is_ascii_digit) {
            numbered = true;
            text.push(digit);
        }
        if !numbered {
            text.push_str(&next.to_string());
            *next += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::postgres;

    #[test]
    fn parameters_get_numbers_and_what_is_quoted_stays() {
        for (sqlite, expected) in [
            ("a = ? AND b = ?", "a = $1 AND b = $2"),
            ("a = ?2 OR b = ?1 OR c = ?12", "a = $2 OR b = $1 OR c = $12"),
            ("a = '?' AND b = ?", "a = '?' AND b = $1"),
            ("a LIKE ? ESCAPE '\\'", "a ILIKE $1 ESCAPE '\\'"),
            ("a = ' LIKE ' AND b = ''", "a = ' LIKE ' AND b = ''"),
            (
                "FROM devices CROSS JOIN certificates USING (device)",
                "FROM devices JOIN certificates USING (device)",
            ),
            ("FROM events NOT INDEXED WHERE a", "FROM events WHERE a"),
            ("a ORDER BY certificates.rowid", "a ORDER BY -age(certificates.xmin)"),
        ] {
            assert_eq!(postgres(sqlite), expected);
        }
    }
}
