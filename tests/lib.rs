//! Nothing: the package exists for its build script and its tests.
