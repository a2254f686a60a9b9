//! "Did you mean": the nearest known word to a mistyped one.

/// The candidate most like `word`, when one is alike enough to be worth naming.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    candidates
        .into_iter()
        .map(|c| (strsim::jaro_winkler(&lower, &c.to_lowercase()), c))
        .filter(|(score, _)| *score >= 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))
        .map(|(_, c)| c)
}

/// A hint that names the nearest match, or says where the known values are listed.
pub fn hint<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>, otherwise: &str) -> String {
    match nearest(word, candidates) {
        Some(best) => format!("Did you mean \"{best}\"? {otherwise}"),
        None => otherwise.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_the_mistyped_category() {
        let known = ["job_updated", "job_created", "offer_sent"];
        assert_eq!(nearest("job_udpated", known), Some("job_updated"));
        assert_eq!(nearest("JOB_UPDATED", known), Some("job_updated"));
        assert_eq!(nearest("zzz", known), None);
    }
}
