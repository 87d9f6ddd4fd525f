//! The engine with real components and with hand-made ones.

use super::*;
use crate::host;

fn engine() -> Engine {
    Engine::start(host::offer).unwrap()
}

#[tokio::test]
async fn smoke() {
    for name in ["echo", "thermostat"] {
        let bytes = std::fs::read(format!("../examples/{name}/{name}.wasm")).unwrap();
        let loaded = engine().load(&bytes).unwrap();
        println!("{:?} {:?}", loaded.export_names(), loaded.missing_imports());
        let (ty, index) = loaded.exported_function("handle-message").unwrap();
        println!("{ty:?}");
        let allowance =
            Allowance { memory_bytes_max: 16 << 20, deadline: std::time::Duration::from_secs(5) };
        let params =
            vec![Value::Bytes("hello".into()), Value::Fields(vec![Value::Text("a/in/b".into())])];
        let result =
            loaded.call(index, crate::host::wasi::testing::host(), allowance, params).await;
        println!("{result:?}");
    }
}
