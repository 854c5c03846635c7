//! Large letters for the last lines of `demo`: five rows of blocks each. Pure.

/// How many rows a letter has.
const ROWS: usize = 5;
/// What stands between two words.
const SPACE: [&str; ROWS] = ["  "; ROWS];

/// The text in large letters, row by row. A character that has no large letter is left out.
#[must_use]
pub fn large(text: &str) -> [String; ROWS] {
    let mut rows = [const { String::new() }; ROWS];
    for letter in text.chars().filter_map(letter) {
        for (row, pixels) in rows.iter_mut().zip(letter) {
            if !row.is_empty() {
                row.push(' ');
            }
            row.extend(pixels.chars().map(|pixel| if pixel == '#' { '█' } else { ' ' }));
        }
    }
    rows.map(|row| row.trim_end().to_owned())
}

#[rustfmt::skip]
fn letter(letter: char) -> Option<[&'static str; ROWS]> {
    Some(match letter.to_ascii_uppercase() {
        ' ' => SPACE,
        '0' | 'O' => [" ## ", "#  #", "#  #", "#  #", " ## "],
        '1' => ["  # ", " ## ", "  # ", "  # ", " ###"],
        '2' => ["### ", "   #", " ## ", "#   ", "####"],
        '3' => ["### ", "   #", " ## ", "   #", "### "],
        '4' => ["#  #", "#  #", "####", "   #", "   #"],
        '5' => ["####", "#   ", "### ", "   #", "### "],
        '6' => [" ## ", "#   ", "### ", "#  #", " ## "],
        '7' => ["####", "   #", "  # ", " #  ", " #  "],
        '8' => [" ## ", "#  #", " ## ", "#  #", " ## "],
        '9' => [" ## ", "#  #", " ###", "   #", " ## "],
        'A' => [" ## ", "#  #", "####", "#  #", "#  #"],
        'C' => [" ###", "#   ", "#   ", "#   ", " ###"],
        'D' => ["### ", "#  #", "#  #", "#  #", "### "],
        'E' => ["####", "#   ", "### ", "#   ", "####"],
        'F' => ["####", "#   ", "### ", "#   ", "#   "],
        'G' => [" ###", "#   ", "# ##", "#  #", " ###"],
        'I' => ["###", " # ", " # ", " # ", "###"],
        'L' => ["#   ", "#   ", "#   ", "#   ", "####"],
        'M' => ["#   #", "## ##", "# # #", "#   #", "#   #"],
        'N' => ["#   #", "##  #", "# # #", "#  ##", "#   #"],
        'P' => ["### ", "#  #", "### ", "#   ", "#   "],
        'S' => [" ###", "#   ", " ## ", "   #", "### "],
        'T' => ["#####", "  #  ", "  #  ", "  #  ", "  #  "],
        'U' => ["#  #", "#  #", "#  #", "#  #", " ## "],
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_demo_says_has_its_letters_and_fits_a_terminal() {
        for text in ["0123456789", "606 of 606", "0 missing", "0 duplicates", "1234 duplicates"] {
            assert!(text.chars().all(|char| letter(char).is_some()), "{text}");
            let rows = large(text);
            assert!(rows.iter().all(|row| !row.is_empty() && row.chars().count() <= 78), "{rows:#?}");
        }
        assert_eq!(large("1!"), ["  █", " ██", "  █", "  █", " ███"]);
        for letters in ('A'..='Z').chain('0'..='9').filter_map(letter) {
            let widths = letters.map(str::len);
            assert!(widths.iter().all(|width| *width == widths[0]), "{letters:?}");
        }
    }
}
