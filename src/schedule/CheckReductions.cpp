#include "ScheduleChecker.h"

#include <algorithm>

namespace strobe {

const Reduction *ScheduleChecker::streamed_reduction(const DirectiveArgument &a) const {
    std::vector<std::string> known = names_of(graph.reductions);
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

int ScheduleChecker::pass_of_argument(const DirectiveArgument &a) const {
    const Reduction *r = streamed_reduction(a);
    return r ? pass_of(plan, r->name) : (int)plan.passes.size() - 1;
}

std::string ScheduleChecker::reason_for_pass(const std::string &reduction) const {
    for (const Fact &f : plan.facts) {
        if (f.rule == "barrier" && (f.subject == reduction || f.text.find(reduction) != std::string::npos)) {
            return f.subject == reduction ? f.text : base_name(f.subject) + ": " + f.text;
        }
    }
    return "what reads it needs its final value: it cannot be rescaled when that changes";
}

void ScheduleChecker::check_online() {
    int pass = -1;
    for (const DirectiveArgument &a : current->arguments) {
        pass = std::max(pass, pass_of_argument(a));
    }
    for (const DirectiveArgument &a : current->arguments) {
        const int p = pass_of_argument(a);
        if (p != pass) {
            refuse(a.span, reason_for_pass(streamed_reduction(a)->name),
                   "recompute(" + a.value + ") [+" + std::to_string(pass - p) + " pass over " +
                       base_name(plan.roles.stream) + "], or leave it out and let the scheduler choose",
                   "online(" + a.value + ")");
        }
    }
}

void ScheduleChecker::check_recompute() {
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

void ScheduleChecker::check_mask_directives() {
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

void ScheduleChecker::check_rescale() {
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

}  // namespace strobe
