;; The three encodings of strings, each component with its own: UTF-16 outside, Latin-1 or UTF-16 inside.
(component
  (component $inner
    (core module $m
      (memory (export "memory") 1)
      (global $next (mut i32) (i32.const 256))
      (func (export "realloc") (param i32 i32 i32 i32) (result i32)
        (global.get $next)
        (global.set $next (i32.and (i32.const -8)
          (i32.add (i32.const 7) (i32.add (global.get $next) (local.get 3))))))
      (func (export "same") (param i32 i32) (result i32)
        (i32.store (i32.const 8) (local.get 0))
        (i32.store (i32.const 12) (local.get 1))
        (i32.const 8)))
    (core instance $i (instantiate $m))
    (func (export "same") (param "text" string) (result string)
      (canon lift (core func $i "same") string-encoding=latin1+utf16
        (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
  (component $outer
    (import "same" (func $same (param "text" string) (result string)))
    (core module $libc
      (memory (export "memory") 1)
      (global $next (mut i32) (i32.const 256))
      (func (export "realloc") (param i32 i32 i32 i32) (result i32)
        (global.get $next)
        (global.set $next (i32.and (i32.const -8)
          (i32.add (i32.const 7) (i32.add (global.get $next) (local.get 3)))))))
    (core instance $libc (instantiate $libc))
    (alias core export $libc "memory" (core memory $memory))
    (alias core export $libc "realloc" (core func $realloc))
    (core func $lowered (canon lower (func $same) string-encoding=utf16
      (memory $memory) (realloc $realloc)))
    (core module $m
      (import "" "same" (func $same (param i32 i32 i32)))
      (func (export "run") (param i32 i32) (result i32)
        (call $same (local.get 0) (local.get 1) (i32.const 16))
        (i32.const 16)))
    (core instance $i (instantiate $m (with "" (instance (export "same" (func $lowered))))))
    (func (export "run") (param "text" string) (result string)
      (canon lift (core func $i "run") string-encoding=utf16 (memory $memory) (realloc $realloc))))
  (instance $i (instantiate $inner))
  (instance $o (instantiate $outer (with "same" (func $i "same"))))
  (export "run" (func $o "run")))
