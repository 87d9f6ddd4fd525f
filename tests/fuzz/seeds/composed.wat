;; Two components, each with a memory of its own: the outer calls the inner with a list.
(component
    (component $inner
        (core module $m
            (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 64))
            (func (export "twice") (param i32 i32) (result i32)
                (memory.copy (i32.add (local.get 0) (local.get 1)) (local.get 0) (local.get 1))
                (i32.store (i32.const 8) (local.get 0))
                (i32.store (i32.const 12) (i32.mul (local.get 1) (i32.const 2)))
                (i32.const 8)))
        (core instance $i (instantiate $m))
        (func (export "twice") (param "bytes" (list u8)) (result (list u8))
            (canon lift (core func $i "twice") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
    (component $outer
        (import "twice" (func $twice (param "bytes" (list u8)) (result (list u8))))
        (core module $libc
            (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 128)))
        (core instance $libc (instantiate $libc))
        (core func $lowered (canon lower (func $twice)
            (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
        (core module $m
            (import "" "twice" (func $twice (param i32 i32 i32)))
            (func (export "run") (param i32 i32) (result i32)
                (call $twice (local.get 0) (local.get 1) (i32.const 16))
                (i32.const 16)))
        (core instance $i (instantiate $m
            (with "" (instance (export "twice" (func $lowered))))))
        (func (export "run") (param "bytes" (list u8)) (result (list u8))
            (canon lift (core func $i "run")
                (memory (core memory $libc "memory")) (realloc (core func $libc "realloc")))))
    (instance $i (instantiate $inner))
    (instance $o (instantiate $outer (with "twice" (func $i "twice"))))
    (export "run" (func $o "run")))
