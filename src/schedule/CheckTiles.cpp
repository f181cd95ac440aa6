#include "ScheduleChecker.h"

#include <algorithm>

namespace strobe {

void ScheduleChecker::check_tile() {
    needs_axis(argument("axis"), plan.roles.query, "tile");
    const DirectiveArgument &size = argument("size");
    c.query_tile = number(size, 1, 4096, "a size from 1 to 4096");
    if (!machine.is_gpu() || c.general) {
        return;
    }
    const int rows = machine.matrix_units[0].rows, n = c.query_tile;
    if (n % rows != 0) {
        const int below = n / rows * rows, above = below + rows;
        refuse(size.span,
               machine.matrix_units[0].name + " computes " + std::to_string(rows) + " rows a warpgroup, and " +
                   std::to_string(n) + " is not a multiple of that",
               "tile(" + base_name(plan.roles.query) + ", " +
                   (below > 0 ? std::to_string(below) + ") or tile(" + base_name(plan.roles.query) + ", " : "") +
                   std::to_string(above) + ")");
    }
    const int most = (machine.block_threads / 128 - 1) * rows;
    if (n > most) {
        refuse(size.span,
               std::to_string(n / rows) + " warpgroups of " + std::to_string(rows) +
                   " rows and the producer are more than the " + std::to_string(machine.block_threads) +
                   " threads of a block",
               "a size of at most " + std::to_string(most));
    }
}

void ScheduleChecker::check_stream() {
    needs_axis(argument("axis"), plan.roles.stream, "stream");
    const DirectiveArgument &size = argument("size");
    c.stream_tile = number(size, 1, 65536, "a whole number from 1");
    if (machine.is_gpu() && !c.general && (c.stream_tile % 16 != 0 || c.stream_tile > 256)) {
        refuse(size.span,
               machine.matrix_units[0].name + " contracts 16 elements at a time and gives at most 256 columns; " +
                   size.value + (c.stream_tile > 256 ? " is more" : " is not a multiple of 16"),
               "a multiple of 16 up to 256");
    }
}

void ScheduleChecker::check_split() {
    needs_axis(argument("axis"), plan.roles.stream, "split");
    c.parts = number(argument("parts"), 1, 1024, "a number of parts from 1 to 1024");
    const std::string stream = base_name(plan.roles.stream);
    if (machine.is_gpu() && !c.general) {
        refuse(current->span, "warps with roles walk all that their rows see", "kernel(general) " + to_string(*current));
    }
    if (plan.passes.size() > 1) {
        refuse(current->span,
               stream + " is walked " + std::to_string(plan.passes.size()) +
                   " times, and a later walk needs what an earlier one found in all parts",
               "no split");
    }
}

void ScheduleChecker::check_exchange() {
    c.exchange = switched_on("state");
    if (!c.exchange) {
        return;
    }
    if (!plan.second) {
        std::string why = "no score that enters every sum over " + base_name(plan.roles.stream) +
                          " as a factor is a sum of products of features of rows and of " +
                          base_name(plan.roles.stream);
        for (const Fact &f : plan.facts) {
            why = f.rule == "not exchanged" ? f.text : why;
        }
        refuse(current->span, why, "no exchange");
    }
    if (machine.is_gpu() && !c.general) {
        refuse(current->span, "warps with roles walk all that their rows see", "kernel(general) " + to_string(*current));
    }
}

/** What exchange and the tiles forbid together. */
void ScheduleChecker::check_chunks() {
    const std::string query = base_name(plan.roles.query), stream = base_name(plan.roles.stream);
    if (c.parts > 1) {
        refuse(current->span, "its sums over " + stream + " are already side by side", "no split");
    }
    if (!plan.second->whole && c.query_tile % c.stream_tile != 0) {
        refuse(current->span,
               "rows start their walk at their own block, " + std::to_string(c.query_tile) + " " + query +
                   " apart, which is no multiple of a tile of " + std::to_string(c.stream_tile) + " " + stream,
               "stream(" + stream + ", " + std::to_string(c.query_tile) + ")");
    }
}

void ScheduleChecker::check_share() {
    const std::string axis = axis_named(argument("axis"), argument("axis").value);
    c.share_points = number(argument("points"), 1, 64, "a number of points from 1 to 64");
    std::vector<std::string> legal;
    for (const std::string &a : plan.roles.batch) {
        legal.push_back("share(" + base_name(a) + ", points)");
    }
    if (!contains(plan.roles.batch, axis)) {
        refuse(argument("axis").span, use_of(axis), legal.empty() ? "no share" : list_of(legal, " or "));
    }
    if (!machine.is_gpu() || !c.general) {
        refuse(current->span, "other kernels have one point of the grid a block", "kernel(general) " + to_string(*current));
    }
    c.share_axis = axis;
}

void ScheduleChecker::check_blocks() {
    std::vector<std::string> order, natural = {plan.roles.query};
    natural.insert(natural.end(), plan.roles.batch.begin(), plan.roles.batch.end());
    c.query_descending = false;
    for (const DirectiveArgument &a : current->arguments) {
        const size_t blank = a.value.find(' ');
        const std::string axis = axis_named(a, a.value.substr(0, blank));
        const std::string direction = blank == std::string::npos ? "" : a.value.substr(blank + 1);
        if (!direction.empty() && direction != "descending" && direction != "ascending") {
            refuse(a.span, direction + " is no direction" + suggestion_for(direction, {"ascending", "descending"}), "");
        }
        if (!contains(natural, axis)) {
            refuse(a.span, use_of(axis) + ", not an axis of the grid", "");
        }
        if (contains(order, axis)) {
            refuse(a.span, axis + " is named twice", "");
        }
        if (direction == "descending" && axis != plan.roles.query) {
            refuse(a.span, "the order along " + axis + " changes nothing: its blocks do equal work",
                   base_name(plan.roles.query) + " descending");
        }
        c.query_descending |= direction == "descending";
        order.push_back(axis);
    }
    std::vector<std::string> legal;
    for (const std::string &a : natural) {
        legal.push_back(base_name(a));
    }
    const std::string all = "blocks(" + list_of(legal, ", ") + ")";
    if (order.empty() || order[0] != plan.roles.query) {
        refuse(current->span,
               "blocks that run side by side share keys and values in the L2 cache only if they are blocks of " +
                   legal[0] + " of the same " + list_of({legal.begin() + 1, legal.end()}, " and "),
               all + ", or another order of the axes behind " + legal[0]);
    }
    if (order.size() != natural.size()) {
        const auto missing = std::find_if(natural.begin(), natural.end(),
                                          [&](const std::string &a) { return !contains(order, a); });
        refuse(current->span, base_name(*missing) + " is an axis of the grid, too, and is not named", all);
    }
    c.block_order.assign(order.begin() + 1, order.end());
}

void ScheduleChecker::check_vectorize() {
    needs_cpu("a GPU's threads take one element each");
    needs_axis(argument("axis"), plan.roles.query, "vectorize");
    const DirectiveArgument &lanes = argument("lanes");
    c.vector_lanes = number(lanes, 4, 64, "a power of two from 4 to 64");
    if ((c.vector_lanes & (c.vector_lanes - 1)) != 0) {
        refuse(lanes.span, lanes.value + " is not a power of two",
               "vectorize(" + base_name(plan.roles.query) + ", " + std::to_string(machine.float_lanes()) +
                   "), the width of " + machine.name);
    }
}

void ScheduleChecker::check_parallel() {
    needs_cpu("a GPU's blocks always run side by side");
    std::vector<std::string> blocks = {plan.roles.query}, named, legal;
    blocks.insert(blocks.end(), plan.roles.batch.begin(), plan.roles.batch.end());
    for (const DirectiveArgument &a : current->arguments) {
        const std::string axis = axis_named(a, a.value);
        if (!contains(blocks, axis)) {
            refuse(a.span, use_of(axis), "an axis of the grid");
        }
        named.push_back(axis);
    }
    for (const std::string &b : blocks) {
        legal.push_back(base_name(b));
    }
    std::sort(named.begin(), named.end());
    std::sort(blocks.begin(), blocks.end());
    if (named != blocks) {
        refuse(current->span, "blocks are handed to the thread pool as one list over all axes of the grid",
               "parallel(" + list_of(legal, ", ") + ")");
    }
}

}  // namespace strobe
