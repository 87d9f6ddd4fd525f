//! A component whose `handle-message` has the right name and another type.

wit_bindgen::generate!({
    inline: "
        package acme:almost;

        world almost {
            export handle-message: func(message: string) -> string;
        }
    ",
});

struct Component;

export!(Component);

impl Guest for Component {
    fn handle_message(message: String) -> String {
        message
    }
}
