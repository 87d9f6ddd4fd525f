;; A destructor that makes another resource of its kind and drops it, without end.
(component
  (core module $shim
    (type $dtor (func (param i32)))
    (table (export "table") 1 funcref)
    (func (export "dtor") (param i32) (call_indirect (type $dtor) (local.get 0) (i32.const 0))))
  (core instance $shim (instantiate $shim))
  (type $r (resource (rep i32) (dtor (core func $shim "dtor"))))
  (core func $new (canon resource.new $r))
  (core func $drop (canon resource.drop $r))
  (core module $m
    (import "" "new" (func $new (param i32) (result i32)))
    (import "" "drop" (func $drop (param i32)))
    (import "" "table" (table 1 funcref))
    (elem (i32.const 0) func $dtor)
    (func $dtor (param i32) (call $drop (call $new (i32.const 1))))
    (func (export "run") (call $dtor (i32.const 0))))
  (core instance $i (instantiate $m (with "" (instance
    (export "new" (func $new)) (export "drop" (func $drop))
    (export "table" (table $shim "table"))))))
  (func (export "run") (canon lift (core func $i "run"))))
