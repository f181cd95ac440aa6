#include "CheckSchedule.h"

#include "CompleteChoices.h"
#include "Directives.h"
#include "PrintSchedule.h"
#include "ResolveNames.h"
#include "support/NearestName.h"

#include <algorithm>

namespace strobe {

using namespace Halide;

namespace {

bool contains(const std::vector<std::string> &list, const std::string &name) {
    return std::find(list.begin(), list.end(), name) != list.end();
}

std::vector<std::string> names_in(const std::vector<Reduction> &reductions) {
    std::vector<std::string> names;
    for (const Reduction &r : reductions) {
        names.push_back(r.name);
    }
    return names;
}

/** Digits only, at most nine; -1 for anything else. */
int number_in(const std::string &s) {
    const bool digits =
        !s.empty() && s.size() < 10 && std::all_of(s.begin(), s.end(), [](unsigned char c) { return std::isdigit(c); });
    return digits ? std::stoi(s) : -1;
}

class Checker {
    const Schedule &schedule;
    const ReductionGraph &graph;
    const Plan &plan;
    const Capability &machine;
    const Workload work;
    std::vector<std::string> *warnings;
    Choices c;
    std::set<std::string> given;
    const Directive *current = nullptr;

    std::string subject() const {
        std::vector<std::string> names;
        for (const Output &o : graph.outputs) {
            names.push_back(o.name);
        }
        return names.empty() ? "the algorithm" : names[0];
    }

    /** \p what: the part at fault, "online(threshold)"; the whole directive when empty. */
    [[noreturn]] void refuse(const SourceSpan &span, const std::string &reason, const std::string &legal,
                             const std::string &what = "") const {
        report_schedule_error(span.known() ? span : current->span,
                              "in schedule for " + subject() + ": can't " + (what.empty() ? to_string(*current) : what),
                              reason, legal);
    }

    void warn(const std::string &text) {
        if (warnings) {
            warnings->push_back(position_of(current->span) + to_string(*current) + " has no effect: " + text);
        }
    }

    const DirectiveArgument &argument(const std::string &parameter) const {
        static const DirectiveArgument none;
        const DirectiveArgument *a = argument_of(*current, parameter);
        return a ? *a : none;
    }

    int number(const DirectiveArgument &a, int least, int most, const std::string &legal) const {
        const int n = number_in(a.value);
        if (n < least || n > most) {
            refuse(a.span,
                   a.value + (n < 0       ? " is not a whole number"
                              : n < least ? " is too small"
                                          : " is too large"),
                   legal);
        }
        return n;
    }

    std::string one_of(const DirectiveArgument &a, const std::vector<std::string> &known,
                       const std::string &otherwise) const {
        if (a.value.empty()) {
            return otherwise;
        }
        if (!contains(known, a.value)) {
            refuse(a.span, a.value + " is not one of its values" + suggestion_for(a.value, known),
                   list_of(known, " or "));
        }
        return a.value;
    }

    bool switched_on(const std::string &parameter) const {
        return one_of(argument(parameter), {"on", "off"}, "on") == "on";
    }

    void needs_gpu(const std::string &why) const {
        if (!machine.is_gpu()) {
            refuse(current->span, why, "leave it out on " + machine.name);
        }
    }

    void needs_cpu(const std::string &why) const {
        if (machine.is_gpu()) {
            refuse(current->span, why, "leave it out on " + machine.name);
        }
    }

    /** What an axis is for, in the words of an error. */
    std::string use_of(const std::string &axis) const {
        const Roles &r = plan.roles;
        return axis == r.stream          ? axis + " is reduced, and walked tile by tile"
               : axis == r.query         ? axis + " indexes the rows of the result"
               : contains(r.batch, axis) ? axis + " is an axis of the grid: each of its points has blocks of its own"
                                         : axis + " lies whole in one tile";
    }

    std::string axis_named(const DirectiveArgument &a, const std::string &name) const {
        std::vector<std::string> known;
        for (const Axis &axis : graph.axes) {
            known.push_back(axis.name);
        }
        const Resolved r = resolve_name(name, known, "axis");
        if (r.name.empty()) {
            refuse(a.span, r.error, "");
        }
        return r.name;
    }

    void needs_axis(const DirectiveArgument &a, const std::string &expected, const std::string &usage) const {
        const std::string axis = axis_named(a, a.value);
        if (axis != expected) {
            refuse(a.span, use_of(axis),
                   usage + "(" + base_name(expected) + ", " + (usage == "vectorize" ? "lanes)" : "size)"));
        }
    }

    void check_tile();
    void check_stream();
    void check_online();
    void check_recompute();
    void check_stage();
    void check_mma();
    void check_mma_func(const std::string &func, const SourceSpan &span, const MatrixUnit *unit);
    void check_warps();
    void check_registers();
    void check_mask_directives();
    void check_blocks();
    void check_rescale();
    void check_vectorize();
    void check_parallel();
    void check_one(const Directive &d);
    void check_together();

    /** The reduction that a name in online or recompute means; null for an output. */
    const Reduction *streamed_reduction(const DirectiveArgument &a) const;
    /** The pass in which a named reduction or output is computed. */
    int pass_of_argument(const DirectiveArgument &a) const;
    std::string reason_for_pass(const std::string &reduction) const;

public:
    Checker(const Schedule &schedule, const ReductionGraph &graph, const Plan &plan, const Capability &machine,
            const AxisSizes &sizes, std::vector<std::string> *warnings)
        : schedule(schedule), graph(graph), plan(plan), machine(machine), work(workload_of(graph, plan, sizes)),
          warnings(warnings) {
    }

    Choices check();
};

void Checker::check_tile() {
    needs_axis(argument("axis"), plan.roles.query, "tile");
    const DirectiveArgument &size = argument("size");
    c.query_tile = number(size, 1, 4096, "a size from 1 to 4096");
    if (!machine.is_gpu()) {
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

void Checker::check_stream() {
    needs_axis(argument("axis"), plan.roles.stream, "stream");
    const DirectiveArgument &size = argument("size");
    c.stream_tile = number(size, 1, 65536, "a whole number from 1");
    if (machine.is_gpu() && (c.stream_tile % 16 != 0 || c.stream_tile > 256)) {
        refuse(size.span,
               machine.matrix_units[0].name + " contracts 16 elements at a time and gives at most 256 columns; " +
                   size.value + (c.stream_tile > 256 ? " is more" : " is not a multiple of 16"),
               "a multiple of 16 up to 256");
    }
}

const Reduction *Checker::streamed_reduction(const DirectiveArgument &a) const {
    std::vector<std::string> known = names_in(graph.reductions);
    for (const Output &o : graph.outputs) {
        known.push_back(o.name);
    }
    const Resolved r = resolve_name(a.value, known, "reduction");
    if (r.name.empty()) {
        refuse(a.span, r.error, "", current->name + "(" + a.value + ")");
    }
    for (const Reduction &reduction : graph.reductions) {
        if (reduction.name != r.name) {
            continue;
        }
        if (!contains(reduction.over, plan.roles.stream)) {
            refuse(a.span, a.value + " is computed inside a tile: it does not reduce " + base_name(plan.roles.stream),
                   "leave it out", current->name + "(" + a.value + ")");
        }
        return &reduction;
    }
    return nullptr;
}

int Checker::pass_of_argument(const DirectiveArgument &a) const {
    const Reduction *r = streamed_reduction(a);
    return r ? pass_of(plan, r->name) : (int)plan.passes.size() - 1;
}

std::string Checker::reason_for_pass(const std::string &reduction) const {
    for (const Fact &f : plan.facts) {
        if (f.rule == "barrier" && (f.subject == reduction || f.text.find(reduction) != std::string::npos)) {
            return f.subject == reduction ? f.text : base_name(f.subject) + ": " + f.text;
        }
    }
    return "what reads it needs its final value: it cannot be rescaled when that changes";
}

void Checker::check_online() {
    const int last = (int)plan.passes.size() - 1;
    std::vector<std::string> later;
    for (const Reduction &r : graph.reductions) {
        if (contains(r.over, plan.roles.stream) && pass_of(plan, r.name) == last) {
            later.push_back(base_name(r.name));
        }
    }
    int pass = -1;
    for (const DirectiveArgument &a : current->arguments) {
        const int p = pass_of_argument(a);
        pass = std::max(pass, p);
    }
    for (const DirectiveArgument &a : current->arguments) {
        const int p = pass_of_argument(a);
        if (p != pass) {
            const Reduction *r = streamed_reduction(a);
            const std::string key = plan.passes.size() > 1 ? " [+" + std::to_string(pass - p) + " pass over " +
                                                                 base_name(plan.roles.stream) + "]"
                                                           : "";
            refuse(a.span, reason_for_pass(r->name),
                   "recompute(" + a.value + ")" + key + ", or leave it out and let the scheduler choose",
                   "online(" + a.value + ")");
        }
    }
}

void Checker::check_recompute() {
    const int last = (int)plan.passes.size() - 1;
    for (const DirectiveArgument &a : current->arguments) {
        const Reduction *r = streamed_reduction(a);
        const int pass = pass_of_argument(a);
        if (r && pass < last) {
            continue;
        }
        refuse(a.span,
               r ? a.value +
                       " is computed in the same walk as what needs it: another walk would repeat work for nothing"
                 : a.value + " is an output: nothing is computed after it",
               "online(" + a.value + "), or leave it out", "recompute(" + a.value + ")");
    }
}

void Checker::check_stage() {
    needs_gpu("a CPU's caches hold the tiles");
    for (size_t i = 0; i < current->subjects.size(); i++) {
        const SourceSpan span = current->subject_spans.empty() ? current->span : current->subject_spans[i];
        const Resolved r = resolve_name(current->subjects[i], work.inputs, "input");
        if (r.name.empty()) {
            refuse(span, r.error, "");
        }
        bool streamed = false;
        std::vector<std::string> legal;
        for (const Operand &o : work.operands()) {
            streamed |= o.by_stream && o.input == r.name;
            if (o.by_stream && !contains(legal, base_name(o.input))) {
                legal.push_back(base_name(o.input));
            }
        }
        if (!streamed) {
            refuse(span,
                   current->subjects[i] + " is no operand that is walked along " + base_name(plan.roles.stream) +
                       ": there is one tile of it a block",
                   list_of(legal, ", ") + ": stage(count)");
        }
    }
    const DirectiveArgument &how = argument("how");
    const int count = number(argument("count"), 1, 8, "1 to 8 stages");
    const std::string copies = one_of(how, {"tma", "copy"}, machine.bulk_copies ? "tma" : "copy");
    if ((copies == "tma") != machine.bulk_copies) {
        refuse(how.span,
               machine.bulk_copies ? "the matrix unit reads its operands as tma lays them out"
                                   : machine.name + " has no tensor-map copies (tma)",
               machine.bulk_copies ? "tma" : "copy");
    }
    if (given.count("stage") && count != c.stages) {
        refuse(argument("count").span,
               "the other inputs have " + std::to_string(c.stages) + " stages, and all share one ring",
               "the same count for all");
    }
    c.stages = count;
    c.copies = copies;
}

void Checker::check_mma() {
    const DirectiveArgument &instruction = argument("instruction");
    std::vector<std::string> known;
    for (const MatrixUnit &u : machine.matrix_units) {
        known.push_back(u.name);
    }
    needs_gpu(machine.name + " has no matrix unit");
    if (!contains(known, instruction.value)) {
        refuse(instruction.span,
               machine.name + " has no matrix instruction " + instruction.value +
                   suggestion_for(instruction.value, known),
               list_of(known, " or "));
    }
    c.instruction = instruction.value;
    for (size_t i = 0; i < current->subjects.size(); i++) {
        check_mma_func(current->subjects[i], current->subject_spans.empty() ? current->span : current->subject_spans[i],
                       machine.matrix_unit(instruction.value));
    }
}

void Checker::check_mma_func(const std::string &func, const SourceSpan &span, const MatrixUnit *unit) {
    std::vector<std::string> known = names_in(graph.reductions), contractions;
    for (const Contraction &k : work.contractions) {
        known.insert(known.end(), k.names.begin(), k.names.end());
        contractions.push_back(base_name(k.func));
    }
    const Resolved r = resolve_name(func, known, "Func");
    if (r.name.empty()) {
        refuse(span, r.error, "");
    }
    const std::string legal_funcs = contractions.empty() ? "no Func of this algorithm" : list_of(contractions, " or ");
    const Contraction *k = work.find(r.name);
    if (!k || !k->matrix) {
        refuse(span, func + " is no sum of products of two input tiles, or of weights and an input tile", legal_funcs);
    }
    const std::string own = own_operand_type(*k);
    const DirectiveArgument &type = argument("type");
    const std::string chosen = one_of(type, {"bf16", "fp16", "fp32", "own"}, "own");
    const std::string operands = chosen == "own" ? own : chosen;
    const std::string inputs = base_name(k->operands[0].input);
    if (operands != own) {
        refuse(type.span,
               "its operand " + inputs + " is " + (own.empty() ? "of mixed type" : own) + " in memory, and " +
                   unit->name + " reads it as it lies there",
               own.empty() ? "leave it out" : "mma(" + unit->name + ", " + own + ")");
    }
    if (operands != "bf16" && operands != "fp16") {
        refuse(type.span.known() ? type.span : span,
               unit->name + " multiplies bf16 or fp16; " + inputs + " is " + operands,
               "leave it out, or make the inputs bf16 or fp16");
    }
    const int64_t depth = unit->depth_bytes / 2;
    if (k->size && *k->size % (k->scores ? depth : unit->column_step) != 0) {
        refuse(span,
               func + (k->scores ? " contracts " : " has ") + std::to_string(*k->size) +
                   (k->scores ? " elements" : " columns") + "; " + unit->name + " takes multiples of " +
                   std::to_string(k->scores ? depth : unit->column_step),
               "leave it out, or pad that dimension");
    }
    const std::string a = one_of(argument("a"), {"registers", "shared"}, k->scores ? "shared" : "registers");
    if ((a == "shared") != k->scores) {
        refuse(argument("a").span,
               k->scores ? "its first operand is an input, which tma brings to shared memory"
                         : "its first operand is computed, and lies in registers already",
               k->scores ? "a=shared" : "a=registers");
    }
    c.mma[k->func] = operands;
}

void Checker::check_registers() {
    const DirectiveArgument &registers = argument("registers");
    const std::string legal = "registers=consumer:producer, each a multiple of 8 from 24 to 240";
    const size_t colon = registers.value.find(':');
    const std::string parts[] = {registers.value.substr(0, colon),
                                 colon == std::string::npos ? "" : registers.value.substr(colon + 1)};
    int values[2];
    for (int i = 0; i < 2; i++) {
        values[i] = number_in(parts[i]);
        if (values[i] < 24 || values[i] > 240 || values[i] % 8 != 0) {
            refuse(registers.span,
                   "setmaxnreg takes a multiple of 8 from 24 to 240, not " + (parts[i].empty() ? "nothing" : parts[i]),
                   legal);
        }
    }
    c.consumer_registers = values[0];
    c.producer_registers = values[1];
    given.insert("registers");
}

void Checker::check_warps() {
    needs_gpu("a CPU has no warps");
    const std::string most = std::to_string(machine.block_threads / 128 - 1);
    c.consumers =
        number(argument("consumers"), 1, machine.block_threads / 128, "1 to " + most + " consumer warpgroups");
    if (argument_of(*current, "producer")) {
        const DirectiveArgument &producer = argument("producer");
        c.producers = number(producer, 0, 1, "producer=0 or producer=1");
        given.insert("producer");
        if ((c.producers == 1) != machine.bulk_copies) {
            refuse(producer.span,
                   machine.bulk_copies ? "tma copies are issued by a producer warpgroup"
                                       : "without tma, the consumers copy for themselves",
                   machine.bulk_copies ? "producer=1" : "producer=0");
        }
    }
    if (argument_of(*current, "registers")) {
        if (!machine.register_reallocation) {
            refuse(argument("registers").span, machine.name + " cannot move registers between warpgroups",
                   "leave registers out");
        }
        check_registers();
    }
}

void Checker::check_mask_directives() {
    if (current->name == "skip") {
        c.skip_dead = one_of(argument("what"), {"mask", "off"}, "mask") == "mask";
        if (c.skip_dead && !has_mask(plan)) {
            warn("no element is masked");
        }
        return;
    }
    bool full = false;
    for (const DirectiveArgument &a : current->arguments) {
        const std::string which = one_of(a, {"full", "partial", "off"}, "full");
        if (which == "off" && current->arguments.size() > 1) {
            refuse(a.span, "off stands alone", "specialize(full, partial) or specialize(off)");
        }
        full |= which != "off";
    }
    c.specialize_full = full;
    if (full && !has_mask(plan)) {
        warn("no element is masked");
    }
}

void Checker::check_blocks() {
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
    if (order != natural) {
        refuse(current->span,
               "blocks that run side by side share keys and values in the L2 cache only if " + legal[0] +
                   " is innermost, and the grid's axes follow in the order of the result's dimensions",
               "blocks(" + list_of(legal, ", ") + "), with or without descending behind " + legal[0]);
    }
    c.block_order.assign(order.begin() + 1, order.end());
}

void Checker::check_rescale() {
    const DirectiveArgument &bits = argument("bits");
    bool half = false;
    for (const Contraction &k : work.contractions) {
        half |= !k.scores && own_operand_type(k) == "fp16";
    }
    // A weight may reach 2^bits before it is rescaled; it must stay finite in the operand's type.
    const int most = half ? 15 : 32;
    c.rescale_bits = number(bits, 0, most,
                            "0 (always) to " + std::to_string(most) + ": weights grow to 2^bits" +
                                (half ? ", and fp16 holds no more than 2^16" : ""));
    int running = 0;
    for (const PassWorkload &p : work.passes) {
        running += p.running_pivots;
    }
    if (running == 0) {
        warn("nothing has a running maximum");
    }
}

void Checker::check_vectorize() {
    needs_cpu("a GPU's threads take one element each");
    needs_axis(argument("axis"), plan.roles.stream, "vectorize");
    const DirectiveArgument &lanes = argument("lanes");
    c.vector_lanes = number(lanes, 1, 64, "a power of two from 1 to 64");
    if ((c.vector_lanes & (c.vector_lanes - 1)) != 0) {
        refuse(lanes.span, lanes.value + " is not a power of two",
               "vectorize(" + base_name(plan.roles.stream) + ", " + std::to_string(machine.float_lanes()) +
                   "), the width of " + machine.name);
    }
}

void Checker::check_parallel() {
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

void Checker::check_one(const Directive &d) {
    using Check = void (Checker::*)();
    static const std::map<std::string, Check> checks = {{"tile", &Checker::check_tile},
                                                        {"stream", &Checker::check_stream},
                                                        {"online", &Checker::check_online},
                                                        {"recompute", &Checker::check_recompute},
                                                        {"stage", &Checker::check_stage},
                                                        {"mma", &Checker::check_mma},
                                                        {"warps", &Checker::check_warps},
                                                        {"skip", &Checker::check_mask_directives},
                                                        {"specialize", &Checker::check_mask_directives},
                                                        {"blocks", &Checker::check_blocks},
                                                        {"rescale_when", &Checker::check_rescale},
                                                        {"vectorize", &Checker::check_vectorize},
                                                        {"parallel", &Checker::check_parallel}};
    current = &d;
    check_directive(d);
    const bool repeatable = d.name == "stage" || d.name == "mma" || d.name == "recompute";
    if (!repeatable && given.count(d.name)) {
        refuse(d.span, d.name + " was given before", "one " + d.name);
    }
    if (d.name == "pingpong") {
        needs_gpu("a CPU has no warpgroups");
        c.pingpong = switched_on("state");
    } else if (d.name == "persistent") {
        needs_gpu("a CPU's thread pool hands out blocks by itself");
        c.persistent = switched_on("state");
    } else {
        (this->*checks.at(d.name))();
    }
    given.insert(d.name);
}

/** What several directives forbid together. */
void Checker::check_together() {
    auto blame = [&](const std::vector<std::string> &names) {
        current = nullptr;
        for (const std::string &name : names) {
            current = current ? current : schedule.find(name);
        }
    };
    if (machine.is_gpu() && c.query_tile != c.consumers * machine.matrix_units[0].rows) {
        const int rows = machine.matrix_units[0].rows;
        blame({"warps", "tile"});
        refuse(current->span,
               std::to_string(c.consumers) + " consumer warpgroups of " + std::to_string(rows) + " rows are " +
                   std::to_string(c.consumers * rows) + ", and the tile has " + std::to_string(c.query_tile),
               "consumers=" + std::to_string(std::max(1, c.query_tile / rows)) + ", or tile(" +
                   base_name(plan.roles.query) + ", " + std::to_string(c.consumers * rows) + ")");
    }
    if (c.pingpong && c.consumers < 2) {
        blame({"pingpong"});
        refuse(current->span, "there is one consumer warpgroup, and turns take two",
               "warps(consumers=2), or pingpong(off)");
    }
    if (!machine.is_gpu() && c.stream_tile % c.vector_lanes != 0) {
        blame({"vectorize", "stream"});
        refuse(current->span,
               std::to_string(c.vector_lanes) + " lanes do not divide the stream tile of " +
                   std::to_string(c.stream_tile),
               "a stream tile that is a multiple of the lanes");
    }
    if (auto refusal = check_resources(work, c, machine)) {
        blame(refusal->directives);
        if (!current) {
            report_schedule_error({}, "in schedule for " + subject() + ": the algorithm does not fit " + machine.name,
                                  refusal->reason, refusal->legal);
        }
        refuse(current->span, refusal->reason, refusal->legal);
    }
}

Choices Checker::check() {
    for (const Directive &d : schedule.directives) {
        check_one(d);
    }
    complete_choices(c, given, work, plan, machine);
    check_together();
    return c;
}

}  // namespace

Choices check_schedule(const Schedule &schedule, const ReductionGraph &graph, const Plan &plan,
                       const Capability &capability, const AxisSizes &sizes, std::vector<std::string> *warnings) {
    return Checker(schedule, graph, plan, capability, sizes, warnings).check();
}

}  // namespace strobe
