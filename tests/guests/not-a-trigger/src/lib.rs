//! A valid component that exports something no trigger calls.

wit_bindgen::generate!({
    inline: "
        package acme:greeter;

        world greeter {
            export greet: func(name: string) -> string;
        }
    ",
});

struct Component;

export!(Component);

impl Guest for Component {
    fn greet(name: String) -> String {
        format!("hello {name}")
    }
}
