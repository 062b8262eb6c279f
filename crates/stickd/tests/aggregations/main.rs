//! Hubs between real HAProxys that know only them: limits that hold over all nodes, restarts, levels.

mod beside;
mod cluster;
mod conn_cur;
mod definitions;
mod durable;
mod examples;
mod fallback;
mod left_out;
mod levels;
mod limits;
mod old_nodes;
mod orders;
mod restarts;
mod room;
mod scripted;
mod shards;
mod status;
mod trials;

fn main() {
    let longest_first = [
        left_out::tests(),
        definitions::tests(),
        durable::tests(),
        beside::tests(),
        restarts::tests(),
        limits::tests(),
        levels::tests(),
        shards::tests(),
        orders::tests(),
        room::tests(),
        status::tests(),
        examples::tests(),
        conn_cur::tests(),
        old_nodes::tests(),
    ];
    trials::run(longest_first.into_iter().flatten().collect());
}
