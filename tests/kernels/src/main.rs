//! What engines are measured against: the kernels of the test guest `kernels`, compiled for the processor
//! itself. `kernels KERNEL N` prints `CHECKSUM NANOSECONDS`, as the guest answers.

#[path = "../../guests/kernels/src/compute.rs"]
mod compute;

fn main() {
    let request = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    match compute::timed(&request) {
        Ok(answer) => println!("{answer}"),
        Err(wrong) => {
            eprintln!("kernels: {wrong}");
            std::process::exit(2);
        }
    }
}
