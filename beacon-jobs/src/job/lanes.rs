use std::collections::HashMap;

use super::spec::ExecutionSpec;

/// The order in which executions run: lanes, which run side by side; in each its steps, which run
/// one after another; in each step the places in the list of the executions that run side by side.
///
/// Lanes stand in the order of their first appearance. An execution without a lane is a lane of its
/// own, one without a step a step of its own. A step ends where another begins: the same word later
/// in the lane is a new step, so that nothing ever runs before what stands ahead of it in its lane.
#[cfg_attr(not(test), expect(dead_code, reason = "the runner is what asks"))]
pub(crate) fn lanes(executions: &[ExecutionSpec]) -> Vec<Vec<Vec<u32>>> {
    let mut lanes: Vec<Vec<Vec<u32>>> = Vec::new();
    let mut open: HashMap<&str, (usize, Option<&str>)> = HashMap::new();
    for (index, execution) in (0_u32..).zip(executions) {
        let step = execution.step.as_deref();
        let known = execution.lane.as_deref().map(|lane| open.entry(lane).or_insert((lanes.len(), None)));
        let (place, same_step) = match known {
            Some((place, last)) => {
                let same_step = step.is_some() && *last == step;
                *last = step;
                (*place, same_step)
            }
            None => (lanes.len(), false),
        };
        if place == lanes.len() {
            lanes.push(Vec::new());
        }
        match lanes[place].last_mut() {
            Some(side_by_side) if same_step => side_by_side.push(index),
            _ => lanes[place].push(vec![index]),
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
