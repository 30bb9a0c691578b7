//! Work on many items with several threads, results in the order of the items.

use std::num::NonZero;
use std::sync::Mutex;

/// Applies `work` to every item. Each thread has a state of its own, made by `state`; the states
/// come back beside the results.
pub(crate) fn map<Item: Send, Out: Send, State: Send>(
    items: Vec<Item>,
    threads: NonZero<usize>,
    state: impl Fn() -> State + Sync,
    work: impl Fn(&mut State, Item) -> Out + Sync,
) -> (Vec<Out>, Vec<State>) {
    let threads = threads.get().min(items.len()).max(1);
    if threads == 1 {
        let mut state = state();
        let results = items.into_iter().map(|item| work(&mut state, item)).collect();
        return (results, vec![state]);
    }
    let mut results: Vec<Option<Out>> = Vec::new();
    results.resize_with(items.len(), || None);
    let queue = Mutex::new(items.into_iter().enumerate());
    let done = Mutex::new((&mut results, Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut state = state();
                let mut mine = Vec::new();
                loop {
                    let next = queue.lock().expect("no thread panics with the lock").next();
                    let Some((index, item)) = next else { break };
                    mine.push((index, work(&mut state, item)));
                }
                let mut done = done.lock().expect("no thread panics with the lock");
                for (index, out) in mine {
                    done.0[index] = Some(out);
                }
                done.1.push(state);
            });
        }
    });
    let (_, states) = done.into_inner().expect("no thread panics with the lock");
    let results = results.into_iter().map(|out| out.expect("every item was worked on")).collect();
    (results, states)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_depend_on_threads() {
        let items: Vec<u32> = (0..1000).collect();
        for threads in [1, 4] {
            let threads = NonZero::new(threads).unwrap();
            let (results, _) = map(items.clone(), threads, || (), |(), item| item * 2);
            assert!(results.iter().enumerate().all(|(i, &out)| out as usize == i * 2));
        }
    }
}
