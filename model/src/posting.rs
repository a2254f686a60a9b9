//! Postings: what an index says of an entry, and streams of them, newest first.

/// An entry as an index of its partition knows it. Ordered by instant, then by place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Posting {
    /// `occurred_at`, in microseconds of whatever epoch.
    pub at: i64,
    /// Where the row is in its partition: one number a row.
    pub place: u64,
}

impl Posting {
    /// Before every posting of an instant, in the order of a stream. As a stream's current posting: it
    /// has some of that instant, which it looks up when it is asked for those behind this one.
    pub fn newest_at(at: i64) -> Self {
        Posting { at, place: u64::MAX }
    }

    /// Whether it stands for an instant, not for a row.
    pub fn is_instant(&self) -> bool {
        self.place == u64::MAX
    }

    /// The first that can be a row's, behind one that stands for an instant.
    pub fn looked_up(&self) -> Self {
        Posting { at: self.at, place: u64::MAX - 1 }
    }
}

/// Postings in descending order, each once.
pub trait Stream {
    /// The posting the stream stands at; None at its end.
    fn current(&self) -> Option<Posting>;

    /// Goes to the next posting.
    fn advance(&mut self);

    /// Goes to the first posting that is not above `to`; stays where that is the current one.
    fn seek(&mut self, to: Posting);

    /// Postings a microsecond, about where the stream stands; 0 at its end.
    fn rate(&self) -> f64;
}

impl<S: Stream + ?Sized> Stream for Box<S> {
    fn current(&self) -> Option<Posting> {
        (**self).current()
    }

    fn advance(&mut self) {
        (**self).advance();
    }

    fn seek(&mut self, to: Posting) {
        (**self).seek(to);
    }

    fn rate(&self) -> f64 {
        (**self).rate()
    }
}

/// The postings of any of several streams.
pub struct Union<S> {
    streams: Vec<S>,
    /// Places in `streams` of those that are not at their end, as a heap by current posting.
    heap: std::collections::BinaryHeap<(Posting, usize)>,
}

impl<S: Stream> Union<S> {
    pub fn of(streams: Vec<S>) -> Self {
        let heap = streams.iter().enumerate().filter_map(|(i, s)| Some((s.current()?, i))).collect();
        Union { streams, heap }
    }

    /// Moves the streams that stand above where the union is to go.
    fn move_while(&mut self, above: impl Fn(Posting) -> bool, step: impl Fn(&mut S)) {
        while let Some(mut top) = self.heap.peek_mut() {
            let (posting, i) = *top;
            if !above(posting) {
                return;
            }
            step(&mut self.streams[i]);
            match self.streams[i].current() {
                Some(next) => *top = (next, i),
                None => {
                    std::collections::binary_heap::PeekMut::pop(top);
                }
            }
        }
    }
}

impl<S: Stream> Stream for Union<S> {
    fn current(&self) -> Option<Posting> {
        self.heap.peek().map(|(posting, _)| *posting)
    }

    fn advance(&mut self) {
        if let Some(current) = self.current() {
            // Several may stand at the same posting.
            self.move_while(|posting| posting == current, Stream::advance);
        }
    }

    fn seek(&mut self, to: Posting) {
        self.move_while(|posting| posting > to, |stream| stream.seek(to));
    }

    fn rate(&self) -> f64 {
        self.heap.iter().map(|(_, i)| self.streams[*i].rate()).sum()
    }
}

/// The postings that all of several streams have.
pub struct Intersection<S>(Vec<S>);

impl<S: Stream> Intersection<S> {
    /// Of at least one stream; the rarest should come first.
    pub fn of(streams: Vec<S>) -> Self {
        let mut intersection = Intersection(streams);
        intersection.settle();
        intersection
    }

    /// Goes on until all streams stand at the same posting, or one at its end.
    fn settle(&mut self) {
        let Some(mut lowest) = self.0.first().and_then(Stream::current) else { return };
        let mut agreeing = 0;
        let mut i = 0;
        while agreeing < self.0.len() {
            self.0[i].seek(lowest);
            match self.0[i].current() {
                Some(posting) if posting == lowest => agreeing += 1,
                Some(posting) => (lowest, agreeing) = (posting, 1),
                None => return,
            }
            i = (i + 1) % self.0.len();
        }
    }
}

impl<S: Stream> Stream for Intersection<S> {
    fn current(&self) -> Option<Posting> {
        let mut all = self.0.iter().map(Stream::current);
        let first = all.next()??;
        all.all(|other| other == Some(first)).then_some(first)
    }

    fn advance(&mut self) {
        if let Some(first) = self.0.first_mut() {
            first.advance();
        }
        self.settle();
    }

    fn seek(&mut self, to: Posting) {
        if let Some(first) = self.0.first_mut() {
            first.seek(to);
        }
        self.settle();
    }

    fn rate(&self) -> f64 {
        self.0.iter().map(Stream::rate).fold(f64::INFINITY, f64::min)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Postings in memory.
    struct Listed(Vec<Posting>);

    impl Stream for Listed {
        fn current(&self) -> Option<Posting> {
            self.0.last().copied()
        }

        fn advance(&mut self) {
            self.0.pop();
        }

        fn seek(&mut self, to: Posting) {
            while self.current().is_some_and(|posting| posting > to) {
                self.0.pop();
            }
        }

        fn rate(&self) -> f64 {
            self.0.len() as f64
        }
    }

    fn postings() -> impl Strategy<Value = BTreeSet<Posting>> {
        let posting = (0..20_i64, 0..4_u64).prop_map(|(at, place)| Posting { at, place });
        proptest::collection::btree_set(posting, 0..40)
    }

    fn listed(set: &BTreeSet<Posting>) -> Listed {
        Listed(set.iter().copied().collect())
    }

    fn all(mut stream: impl Stream) -> Vec<Posting> {
        let mut found = Vec::new();
        while let Some(posting) = stream.current() {
            found.push(posting);
            stream.advance();
        }
        found
    }

    fn descending(set: impl IntoIterator<Item = Posting>) -> Vec<Posting> {
        let ascending: BTreeSet<Posting> = set.into_iter().collect();
        ascending.into_iter().rev().collect()
    }

    proptest! {
        #[test]
        fn a_union_has_what_any_has(sets in proptest::collection::vec(postings(), 0..6)) {
            let union = Union::of(sets.iter().map(listed).collect());
            prop_assert_eq!(all(union), descending(sets.into_iter().flatten()));
        }

        #[test]
        fn an_intersection_has_what_all_have(sets in proptest::collection::vec(postings(), 1..5)) {
            let intersection = Intersection::of(sets.iter().map(listed).collect());
            let common = sets[0].iter().copied().filter(|p| sets.iter().all(|s| s.contains(p)));
            prop_assert_eq!(all(intersection), descending(common));
        }

        #[test]
        fn seeking_skips_what_is_above(
            sets in proptest::collection::vec(postings(), 1..4), at in 0..20_i64, place in 0..4_u64,
        ) {
            let to = Posting { at, place };
            let mut union = Union::of(sets.iter().map(listed).collect());
            union.seek(to);
            prop_assert_eq!(all(union), descending(sets.iter().flatten().copied().filter(|p| *p <= to)));
            let mut both = Intersection::of(sets.iter().map(listed).collect());
            both.seek(to);
            let common = sets[0].iter().copied().filter(|p| *p <= to && sets.iter().all(|s| s.contains(p)));
            prop_assert_eq!(all(both), descending(common));
        }
    }
}
