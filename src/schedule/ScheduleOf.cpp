#include "CheckSchedule.h"

#include "CompleteChoices.h"
#include "ResolveNames.h"

#include <algorithm>

namespace strobe {

namespace {

/** The name without Halide's "$n", where that is not ambiguous. */
std::string short_name(const std::string &name, const std::vector<std::string> &known) {
    return resolve_name(base_name(name), known, "").name == name ? base_name(name) : name;
}

std::vector<std::string> axis_names(const ReductionGraph &graph) {
    std::vector<std::string> names;
    for (const Axis &a : graph.axes) {
        names.push_back(a.name);
    }
    return names;
}

/** The plan does not compute it: it cancels from every output. */
bool is_dropped(const Plan &plan, const std::string &reduction) {
    return std::any_of(plan.facts.begin(), plan.facts.end(),
                       [&](const Fact &f) { return f.subject == reduction && f.rule == "dropped"; });
}

void add_reductions(Schedule &schedule, const ReductionGraph &graph, const Plan &plan) {
    std::vector<std::string> known, online;
    for (const Reduction &r : graph.reductions) {
        known.push_back(r.name);
    }
    for (const Output &o : graph.outputs) {
        known.push_back(o.name);
    }
    const int last = (int)plan.passes.size() - 1;
    for (const Reduction &r : graph.reductions) {
        if (std::find(r.over.begin(), r.over.end(), plan.roles.stream) == r.over.end() || is_dropped(plan, r.name)) {
            continue;
        }
        if (pass_of(plan, r.name) == last) {
            online.push_back(short_name(r.name, known));
        } else {
            schedule.recompute(short_name(r.name, known));
        }
    }
    if (!online.empty()) {
        schedule.online(online);
    }
}

void add_gpu(Schedule &schedule, const Choices &c, const Workload &work) {
    std::vector<std::string> staged;
    for (const Operand &o : work.operands()) {
        const std::string name = short_name(o.input, work.inputs);
        if (o.by_stream && std::find(staged.begin(), staged.end(), name) == staged.end()) {
            staged.push_back(name);
        }
    }
    if (!staged.empty()) {
        schedule.stage(staged, c.stages, c.copies);
    }
    for (const auto &[input, count] : c.element_stages) {
        schedule.stage({short_name(input, work.inputs)}, count, c.copies);
    }
    std::vector<std::string> names;
    for (const Contraction &k : work.contractions) {
        names.push_back(k.func);
    }
    for (const Contraction &k : work.contractions) {
        auto type = c.mma.find(k.func);
        if (type != c.mma.end()) {
            schedule.mma(short_name(k.func, names), c.instruction, type->second, c.held.count(k.func) ? "registers" : "");
        }
    }
    if (c.producers > 0) {
        schedule.warps(c.consumers, c.producers, c.consumer_registers, c.producer_registers, c.chains);
    } else {
        schedule.add({{}, "warps", {{"consumers", std::to_string(c.consumers), {}}}, {}, {}});
    }
    schedule.pingpong(c.pingpong).persistent(c.persistent);
}

}  // namespace

Schedule schedule_of(const Choices &c, const ReductionGraph &graph, const Plan &plan, const Workload &work,
                     const Capability &capability) {
    const std::vector<std::string> axes = axis_names(graph);
    const std::string query = short_name(plan.roles.query, axes), stream = short_name(plan.roles.stream, axes);
    Schedule schedule;
    schedule.tile(query, c.query_tile).stream(stream, c.stream_tile);
    if (c.parts > 1) {
        schedule.split(stream, c.parts);
    }
    if (c.exchange) {
        schedule.exchange();
    }
    if (c.share_points > 1) {
        schedule.share(short_name(c.share_axis, axes), c.share_points);
    }
    add_reductions(schedule, graph, plan);
    if (c.general) {
        schedule.kernel("general");
    } else if (capability.is_gpu()) {
        add_gpu(schedule, c, work);
    }
    if (has_mask(plan)) {
        schedule.skip(c.skip_dead ? "mask" : "off");
        schedule.specialize(c.specialize_full ? std::vector<std::string>{"full", "partial"}
                                              : std::vector<std::string>{"off"});
    }
    std::vector<std::string> order = {query};
    for (const std::string &a : c.block_order) {
        order.push_back(short_name(a, axes));
    }
    const bool running =
        std::any_of(work.passes.begin(), work.passes.end(), [](const PassWorkload &p) { return p.running_pivots > 0; });
    if (running) {
        schedule.rescale_when(c.rescale_bits);
    }
    if (!capability.is_gpu()) {
        schedule.vectorize(query, c.vector_lanes).parallel(order);
    }
    order[0] += c.query_descending ? " descending" : "";
    schedule.blocks(order);
    return schedule;
}

}  // namespace strobe
