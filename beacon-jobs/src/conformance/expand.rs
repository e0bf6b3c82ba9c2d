//! From a list of cases to tests, and to a search by name.

/// Expands a list of cases to tests.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    (
        [$run:ident, $word:ident, $harness:expr, $required:tt]
        $($area:ident { $($case:ident)* })*
    ) => {
        $($crate::__conformance_tests! { @area $run, $word, $harness, $required, $area $($case)* })*
    };
    (@area $run:ident, $word:ident, $harness:expr, $required:tt, $area:ident $($case:ident)*) => {
        mod $area {
            #[allow(unused_imports)]
            use super::*;
            $($crate::__conformance_tests! { @case $run, $word, $harness, $required, $area $case })*
        }
    };
    (
        @case $run:ident, $word:ident, $harness:expr, [$($capability:ident)*],
        $area:ident $case:ident
    ) => {
        #[test]
        fn $case() {
            $crate::conformance::$run(
                &$harness,
                concat!(stringify!($area), "::", stringify!($case)),
                &[$($crate::$word!($capability)),*],
            );
        }
    };
}

/// Expands a list of cases to a search by name, inside an async function.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_dispatch {
    ([$wanted:ident, $bed:ident] $($area:ident { $($case:ident)* })*) => {
        $($(
            if $wanted == concat!(stringify!($area), "::", stringify!($case)) {
                return Box::pin($area::$case($bed)).await;
            }
        )*)*
    };
}
