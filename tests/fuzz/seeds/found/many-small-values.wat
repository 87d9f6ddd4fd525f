;; A result whose values take forty times as much room outside as in the guest's memory.
(component
  (type $row (tuple bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool bool))
  (type $block (tuple $row $row $row $row $row $row $row $row $row $row $row $row $row $row $row $row $row $row $row $row $row $row $row $row $row $row $row $row $row $row))
  (core module $m
    (memory (export "memory") 2)
    (data (i32.const 0) "\00\01\00\00\01\00\00\00")
    (func (export "run") (result i32) (local $n i32)
      (loop
        (i32.store (i32.add (i32.const 256) (i32.mul (local.get $n) (i32.const 8))) (i32.const 8192))
        (i32.store (i32.add (i32.const 260) (i32.mul (local.get $n) (i32.const 8))) (i32.const 1))
        (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 250))))
      (i32.store (i32.const 0) (i32.const 256))
      (i32.store (i32.const 4) (i32.const 250))
      (i32.const 0)))
  (core instance $i (instantiate $m))
  (func (export "run") (result (list (list $block)))
    (canon lift (core func $i "run") (memory (core memory $i "memory")))))
