;; A loop that calls another component: each call began with a full slice of fuel, so the loop never ran out
;; of it and its deadline was never looked at.
(component
  (component $inner
    (core module $m (func (export "f")))
    (core instance $i (instantiate $m))
    (func (export "f") (canon lift (core func $i "f"))))
  (component $outer
    (import "f" (func $f))
    (core func $f' (canon lower (func $f)))
    (core module $m
      (import "" "f" (func $f))
      (func (export "run") (loop (call $f) (br 0))))
    (core instance $i (instantiate $m (with "" (instance (export "f" (func $f'))))))
    (func (export "run") (canon lift (core func $i "run"))))
  (instance $i (instantiate $inner))
  (instance $o (instantiate $outer (with "f" (func $i "f"))))
  (export "run" (func $o "run")))
