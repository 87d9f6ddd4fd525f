;; A list of strings for a component whose `realloc` takes nearly a whole slice for each.
(component
  (component $inner
    (core module $m
      (memory (export "memory") 2)
      (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $n i32)
        (local.set $n (i32.const 30000))
        (loop (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (i32.const 0))
      (func (export "f") (param i32 i32)))
    (core instance $i (instantiate $m))
    (func (export "f") (param "texts" (list string))
      (canon lift (core func $i "f") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
  (component $outer
    (import "f" (func $f (param "texts" (list string))))
    (core module $libc (memory (export "memory") 4))
    (core instance $libc (instantiate $libc))
    (core func $f' (canon lower (func $f) (memory (core memory $libc "memory"))))
    (core module $m
      (import "" "f" (func $f (param i32 i32)))
      (func (export "run") (call $f (i32.const 0) (i32.const 16000))))
    (core instance $i (instantiate $m (with "" (instance (export "f" (func $f'))))))
    (func (export "run") (canon lift (core func $i "run"))))
  (instance $i (instantiate $inner))
  (instance $o (instantiate $outer (with "f" (func $i "f"))))
  (export "run" (func $o "run")))
