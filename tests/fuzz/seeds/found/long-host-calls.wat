;; A loop of host calls, each of which copies half a megabyte: a slice of fuel holds thousands of them.
(component
  (import "test:host/it@1.0.0" (instance $host
    (export "shout" (func (param "text" string) (result string)))))
  (core module $libc
    (memory (export "memory") 16)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 64)))
  (core instance $libc (instantiate $libc))
  (core func $shout (canon lower (func $host "shout")
    (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
  (core module $m
    (import "" "shout" (func $shout (param i32 i32 i32)))
    (func (export "run") (loop (call $shout (i32.const 64) (i32.const 500000) (i32.const 16)) (br 0))))
  (core instance $i (instantiate $m (with "" (instance (export "shout" (func $shout))))))
  (func (export "run") (canon lift (core func $i "run"))))
