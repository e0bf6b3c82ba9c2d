use std::collections::HashMap;

use super::spec::ExecutionSpec;

/// The order in which executions run: lanes, which run side by side; in each its steps, which run
/// one after another; in each step the places in the list of the executions that run side by side.
///
/// Lanes stand in the order of their first appearance. An execution without a lane is a lane of its
/// own, one without a step a step of its own. A step ends where another begins: the same word later
/// in the lane is a new step, so that nothing ever runs before what stands ahead of it in its lane.
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

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Executions written as `lane/step`, either left empty for none.
    fn list(places: &[&str]) -> Vec<ExecutionSpec> {
        places
            .iter()
            .map(|place| {
                let (lane, step) = place.split_once('/').unwrap();
                let mut execution = ExecutionSpec::new("process", Value::Null);
                execution.lane = (!lane.is_empty()).then(|| lane.to_owned());
                execution.step = (!step.is_empty()).then(|| step.to_owned());
                execution
            })
            .collect()
    }

    #[test]
    fn executions_of_a_lane_run_one_after_another_in_the_order_of_the_list() {
        assert_eq!(
            lanes(&list(&["a/", "b/", "a/", "b/", "a/"])),
            [vec![vec![0], vec![2], vec![4]], vec![vec![1], vec![3]]]
        );
    }

    #[test]
    fn an_execution_without_a_lane_is_its_own() {
        assert_eq!(
            lanes(&list(&["/", "a/", "/", "a/"])),
            [vec![vec![0]], vec![vec![1], vec![3]], vec![vec![2]]]
        );
    }

    #[test]
    fn neighbours_in_a_lane_with_one_step_run_side_by_side_whatever_stands_between_them_in_the_list() {
        assert_eq!(
            lanes(&list(&["a/1", "b/1", "a/1", "/", "a/2", "b/1"])),
            [vec![vec![0, 2], vec![4]], vec![vec![1, 5]], vec![vec![3]]]
        );
    }

    #[test]
    fn a_step_that_comes_back_after_another_is_a_new_one() {
        assert_eq!(
            lanes(&list(&["a/1", "a/2", "a/1", "a/", "a/1", "a/1"])),
            [vec![vec![0], vec![1], vec![2], vec![3], vec![4, 5]]]
        );
    }

    #[test]
    fn neighbours_without_a_step_do_not_run_side_by_side() {
        assert_eq!(lanes(&list(&["a/", "a/"])), [vec![vec![0], vec![1]]]);
    }

    #[test]
    fn no_executions_are_no_lanes() {
        assert!(lanes(&[]).is_empty());
    }
}
