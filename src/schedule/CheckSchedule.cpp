#include "ScheduleChecker.h"

#include <algorithm>

namespace strobe {

std::vector<std::string> base_names(const std::vector<std::string> &names) {
    std::vector<std::string> bases;
    for (const std::string &n : names) {
        bases.push_back(base_name(n));
    }
    return bases;
}

std::vector<std::string> names_of(const std::vector<Reduction> &reductions) {
    std::vector<std::string> names;
    for (const Reduction &r : reductions) {
        names.push_back(r.name);
    }
    return names;
}

int number_in(const std::string &s) {
    const bool digits =
        !s.empty() && s.size() < 10 && std::all_of(s.begin(), s.end(), [](unsigned char c) { return std::isdigit(c); });
    return digits ? std::stoi(s) : -1;
}

std::string ScheduleChecker::subject() const {
    std::vector<std::string> names;
    for (const Output &o : graph.outputs) {
        names.push_back(o.name);
    }
    return names.empty() ? "the algorithm" : names[0];
}

void ScheduleChecker::refuse(const SourceSpan &span, const std::string &reason, const std::string &legal,
                             const std::string &what) const {
    report_schedule_error(span.known() ? span : current->span,
                          "in schedule for " + subject() + ": can't " + (what.empty() ? to_string(*current) : what),
                          reason, legal);
}

void ScheduleChecker::warn(const std::string &text) {
    if (warnings) {
        warnings->push_back(position_of(current->span) + to_string(*current) + " has no effect: " + text);
    }
}

const DirectiveArgument &ScheduleChecker::argument(const std::string &parameter) const {
    static const DirectiveArgument none;
    const DirectiveArgument *a = argument_of(*current, parameter);
    return a ? *a : none;
}

int ScheduleChecker::number(const DirectiveArgument &a, int least, int most, const std::string &legal) const {
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

std::string ScheduleChecker::one_of(const DirectiveArgument &a, const std::vector<std::string> &known,
                                    const std::string &otherwise) const {
    if (a.value.empty()) {
        return otherwise;
    }
    if (!contains(known, a.value)) {
        refuse(a.span, a.value + " is not one of its values" + suggestion_for(a.value, known), list_of(known, " or "));
    }
    return a.value;
}

bool ScheduleChecker::switched_on(const std::string &parameter) const {
    return one_of(argument(parameter), {"on", "off"}, "on") == "on";
}

void ScheduleChecker::needs_gpu(const std::string &why) const {
    if (!machine.is_gpu()) {
        refuse(current->span, why, "leave it out on " + machine.name);
    }
}

void ScheduleChecker::needs_cpu(const std::string &why) const {
    if (machine.is_gpu()) {
        refuse(current->span, why, "leave it out on " + machine.name);
    }
}

void ScheduleChecker::needs_warp_roles() const {
    if (c.general) {
        refuse(current->span, "the general kernel has no warps with roles of their own",
               "leave it out, or leave out kernel(general)");
    }
}

std::string ScheduleChecker::use_of(const std::string &axis) const {
    const Roles &r = plan.roles;
    return axis == r.stream          ? axis + " is reduced, and walked tile by tile"
           : axis == r.query         ? axis + " indexes the rows of the result"
           : contains(r.batch, axis) ? axis + " is an axis of the grid: each of its points has blocks of its own"
                                     : axis + " lies whole in one tile";
}

std::string ScheduleChecker::axis_named(const DirectiveArgument &a, const std::string &name) const {
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

void ScheduleChecker::needs_axis(const DirectiveArgument &a, const std::string &expected,
                                 const std::string &usage) const {
    const std::string axis = axis_named(a, a.value);
    if (axis != expected) {
        refuse(a.span, use_of(axis),
               usage + "(" + base_name(expected) + ", " + (usage == "vectorize" ? "lanes)" : usage == "split" ? "parts)" : "size)"));
    }
}

void ScheduleChecker::check_one(const Directive &d) {
    using Check = void (ScheduleChecker::*)();
    static const std::map<std::string, Check> checks = {{"tile", &ScheduleChecker::check_tile},
                                                        {"stream", &ScheduleChecker::check_stream},
                                                        {"split", &ScheduleChecker::check_split},
                                                        {"exchange", &ScheduleChecker::check_exchange},
                                                        {"share", &ScheduleChecker::check_share},
                                                        {"online", &ScheduleChecker::check_online},
                                                        {"recompute", &ScheduleChecker::check_recompute},
                                                        {"stage", &ScheduleChecker::check_stage},
                                                        {"mma", &ScheduleChecker::check_mma},
                                                        {"kernel", &ScheduleChecker::check_kernel},
                                                        {"warps", &ScheduleChecker::check_warps},
                                                        {"skip", &ScheduleChecker::check_mask_directives},
                                                        {"specialize", &ScheduleChecker::check_mask_directives},
                                                        {"blocks", &ScheduleChecker::check_blocks},
                                                        {"rescale_when", &ScheduleChecker::check_rescale},
                                                        {"vectorize", &ScheduleChecker::check_vectorize},
                                                        {"parallel", &ScheduleChecker::check_parallel}};
    current = &d;
    check_directive(d);
    const bool repeatable = d.name == "stage" || d.name == "mma" || d.name == "recompute";
    if (!repeatable && given.count(d.name)) {
        refuse(d.span, d.name + " was given before", "one " + d.name);
    }
    if (d.name == "pingpong") {
        needs_gpu("a CPU has no warpgroups");
        needs_warp_roles();
        c.pingpong = switched_on("state");
    } else if (d.name == "persistent") {
        needs_gpu("a CPU's thread pool hands out blocks by itself");
        needs_warp_roles();
        c.persistent = switched_on("state");
    } else {
        (this->*checks.at(d.name))();
    }
    given.insert(d.name);
}

/** What several directives forbid together. */
void ScheduleChecker::check_together() {
    auto blame = [&](const std::vector<std::string> &names) {
        current = nullptr;
        for (const std::string &name : names) {
            current = current ? current : schedule.find(name);
        }
    };
    if (c.exchange) {
        blame({"exchange"});
        check_chunks();
    }
    if (c.general) {
        return;  // its lowering counts what it needs exactly
    }
    if (machine.is_gpu() && c.query_tile != c.row_groups() * machine.matrix_units[0].rows) {
        const int rows = machine.matrix_units[0].rows;
        const std::string shared = c.chains > 1 ? ", " + std::to_string(c.chains) + " for the same rows," : "";
        blame({"warps", "tile"});
        refuse(current->span,
               std::to_string(c.consumers) + " consumer warpgroups of " + std::to_string(rows) + " rows" + shared +
                   " are " + std::to_string(c.row_groups() * rows) + ", and the tile has " +
                   std::to_string(c.query_tile),
               "consumers=" + std::to_string(std::max(1, c.query_tile / rows) * c.chains) + ", or tile(" +
                   base_name(plan.roles.query) + ", " + std::to_string(c.row_groups() * rows) + ")");
    }
    if (c.pingpong && c.consumers < 2) {
        blame({"pingpong"});
        refuse(current->span, "there is one consumer warpgroup, and turns take two",
               "warps(consumers=2), or pingpong(off)");
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

Choices ScheduleChecker::check() {
    // What the other directives may say depends on the form.
    const Directive *form = schedule.find("kernel");
    c.general = machine.is_gpu() && form && !form->arguments.empty() && form->arguments[0].value == "general";
    for (const Directive &d : schedule.directives) {
        check_one(d);
    }
    complete_choices(c, given, work, plan, machine);
    check_together();
    return c;
}

Choices check_schedule(const Schedule &schedule, const ReductionGraph &graph, const Plan &plan,
                       const Capability &capability, const AxisSizes &sizes, std::vector<std::string> *warnings) {
    return ScheduleChecker(schedule, graph, plan, capability, sizes, warnings).check();
}

}  // namespace strobe
