use std::collections::HashMap;

use super::spec::ExecutionSpec;

/// Executions as lanes, each a sequence of steps, each a set of indices that run side by side.
pub(crate) fn lanes<'a>(specs: impl IntoIterator<Item = &'a ExecutionSpec>) -> Vec<Vec<Vec<u32>>> {
    let mut lanes: Vec<Vec<Vec<u32>>> = Vec::new();
    let mut known: HashMap<&str, (usize, Option<&str>)> = HashMap::new();
    for (index, spec) in (0..).zip(specs) {
        let step = spec.step.as_deref();
        let Some(lane) = spec.lane.as_deref() else {
            lanes.push(vec![vec![index]]);
            continue;
        };
        match known.get_mut(lane) {
            None => {
                known.insert(lane, (lanes.len(), step));
                lanes.push(vec![vec![index]]);
            }
            Some((place, last)) => {
                let lane = &mut lanes[*place];
                match lane.last_mut() {
                    Some(side_by_side) if step.is_some() && *last == step => side_by_side.push(index),
                    _ => lane.push(vec![index]),
                }
                *last = step;
            }
        }
    }
    lanes
}
