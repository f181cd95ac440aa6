#include "ScheduleChecker.h"

#include <algorithm>

namespace strobe {

void ScheduleChecker::check_stage() {
    needs_gpu("a CPU's caches hold the tiles");
    needs_warp_roles();
    const DirectiveArgument &how = argument("how");
    bool operands = false;
    for (size_t i = 0; i < current->subjects.size(); i++) {
        operands |= is_operand(i);
    }
    const int count = operands ? number(argument("count"), 1, 8, "1 to 8 stages") :
                                 number(argument("count"), 0, 8, "1 to 8 stages, or 0: no tiles of it");
    const std::string copies = one_of(how, {"tma", "copy"}, machine.bulk_copies ? "tma" : "copy");
    if ((copies == "tma") != machine.bulk_copies) {
        refuse(how.span,
               machine.bulk_copies ? "the matrix unit reads its operands as tma lays them out"
                                   : machine.name + " has no tensor-map copies (tma)",
               machine.bulk_copies ? "tma" : "copy");
    }
    for (size_t i = 0; i < current->subjects.size(); i++) {
        if (!is_operand(i)) {
            c.element_stages[resolve_name(current->subjects[i], work.inputs, "input").name] = count;
        }
    }
    if (operands && given.count("stages") && count != c.stages) {
        refuse(argument("count").span,
               "the other inputs have " + std::to_string(c.stages) + " stages, and all share one ring",
               "the same count for all");
    }
    if (operands) {
        c.stages = count;
        given.insert("stages");
    }
    c.copies = copies;
}

/** Whether a subject of stage is an operand of contractions; else it has an element for each row and column. */
bool ScheduleChecker::is_operand(size_t subject) const {
    const SourceSpan span = current->subject_spans.empty() ? current->span : current->subject_spans[subject];
    const Resolved r = resolve_name(current->subjects[subject], work.inputs, "input");
    if (r.name.empty()) {
        refuse(span, r.error, "");
    }
    std::vector<std::string> legal;
    const auto add = [&](const std::string &input) {
        if (!contains(legal, base_name(input))) {
            legal.push_back(base_name(input));
        }
    };
    for (const Operand &o : work.operands()) {
        if (o.by_stream && o.input == r.name) {
            return true;
        }
        if (o.by_stream) {
            add(o.input);
        }
    }
    for (const ElementInput &e : work.elements) {
        if (machine.bulk_copies && e.input == r.name) {
            return false;
        }
        if (machine.bulk_copies) {
            add(e.input);
        }
    }
    refuse(span,
           current->subjects[subject] + " is no operand that is walked along " + base_name(plan.roles.stream) +
               ", and has no element for each row and column that tiles could be copied of",
           list_of(legal, ", ") + ": stage(count)");
}

void ScheduleChecker::check_mma() {
    const DirectiveArgument &instruction = argument("instruction");
    std::vector<std::string> known;
    for (const MatrixUnit &u : machine.matrix_units) {
        known.push_back(u.name);
    }
    needs_gpu(machine.name + " has no matrix unit");
    needs_warp_roles();
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

void ScheduleChecker::check_mma_func(const std::string &func, const SourceSpan &span, const MatrixUnit *unit) {
    std::vector<std::string> known = names_of(graph.reductions), contractions;
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
    const bool padded = k->size && std::all_of(k->operands.begin(), k->operands.end(), [&](const Operand &o) {
        return o.computed || has_zeros_behind(o.load, *k->size);
    });
    const int64_t depth = padded ? unit->column_step : unit->depth_bytes / 2;
    if (k->size && *k->size % (k->scores ? depth : unit->column_step) != 0) {
        refuse(span,
               func + (k->scores ? " contracts " : " has ") + std::to_string(*k->size) +
                   (k->scores ? " elements" : " columns") + "; " + unit->name + " takes multiples of " +
                   std::to_string(k->scores ? depth : unit->column_step),
               "leave it out, or pad that dimension");
    }
    const std::string a = one_of(argument("a"), {"registers", "shared"}, k->scores ? "shared" : "registers");
    if (!k->scores && a == "shared") {
        refuse(argument("a").span, "its first operand is computed, and lies in registers already", "a=registers");
    }
    if (k->scores && a == "registers") {
        if (!machine.bulk_copies) {
            refuse(argument("a").span, "its first operand is an input, which copies bring to shared memory", "a=shared");
        }
        c.held.insert(k->func);
    }
    c.mma[k->func] = operands;
}

void ScheduleChecker::check_registers() {
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

void ScheduleChecker::check_chains() {
    const DirectiveArgument &chains = argument("chains");
    const int has = work.chains();
    const std::string legal = has > 1 ? "chains=1 or chains=" + std::to_string(has) : "leave chains out";
    c.chains = number(chains, 1, machine.block_threads / 128, legal);
    if (c.chains != 1 && c.chains != has) {
        refuse(chains.span,
               "a step of this algorithm consists of " + std::to_string(has) +
                   (has == 1 ? " chain" : " chains that share no computed value"),
               legal);
    }
    if (c.consumers % c.chains != 0) {
        refuse(chains.span,
               std::to_string(c.consumers) + " consumer warpgroups cannot be shared out among " +
                   std::to_string(c.chains) + " chains",
               "a multiple of " + std::to_string(c.chains) + " consumers");
    }
}

void ScheduleChecker::check_kernel() {
    needs_gpu("a CPU has one form of code");
    const std::string form = one_of(argument("form"), {"warp_specialized", "general"}, "");
    if (form == "warp_specialized" && !machine.bulk_copies) {
        refuse(argument("form").span, machine.name + " has no tensor-map copies (tma) for a producer to issue",
               "kernel(general)");
    }
}

void ScheduleChecker::check_warps() {
    needs_gpu("a CPU has no warps");
    needs_warp_roles();
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
    if (argument_of(*current, "chains")) {
        check_chains();
    }
    if (argument_of(*current, "registers")) {
        if (!machine.register_reallocation) {
            refuse(argument("registers").span, machine.name + " cannot move registers between warpgroups",
                   "leave registers out");
        }
        check_registers();
    }
}

}  // namespace strobe
