#include "Directives.h"

#include "PrintSchedule.h"
#include "support/Error.h"
#include "support/NearestName.h"

namespace strobe {

namespace {

using Subjects = DirectiveSpec::Subjects;

DirectiveSpec fixed(const std::string &name, std::vector<std::string> parameters, int required,
                    const std::string &usage, const std::string &text) {
    return {name, std::move(parameters), required, false, Subjects::None, usage, text};
}

DirectiveSpec variadic(const std::string &name, const std::string &usage, const std::string &text) {
    return {name, {}, 1, true, Subjects::None, usage, text};
}

DirectiveSpec of(Subjects subjects, DirectiveSpec spec) {
    spec.subjects = subjects;
    return spec;
}

std::vector<DirectiveSpec> make_table() {
    return {
        fixed("tile", {"axis", "size"}, 2, "tile(axis, size)",
              "Compute this many consecutive points of a parallel axis in one block."),
        fixed("stream", {"axis", "size"}, 2, "stream(axis, size)", "Walk a reduced axis in tiles of this size."),
        fixed("split", {"axis", "parts"}, 2, "split(axis, parts)",
              "Walk the stream in this many parts side by side, and merge what they found."),
        fixed("exchange", {"state"}, 0, "exchange[(on | off)]",
              "Sum over the stream before scores that separate are contracted."),
        fixed("share", {"axis", "points"}, 2, "share(axis, points)",
              "Compute this many points of a grid axis in one block, and load once what they all read."),
        variadic("online", "online(reduction, ...)", "Compute these reductions in one walk over the stream."),
        variadic("recompute", "recompute(reduction, ...)",
                 "Complete these reductions in an earlier walk, and walk the stream once more for what needs them."),
        of(Subjects::Inputs, fixed("stage", {"count", "how"}, 1, "input, ...: stage(count[, tma | copy])",
                                   "Keep this many tiles of the inputs in flight.")),
        of(Subjects::Funcs, fixed("mma", {"instruction", "type", "a"}, 1,
                                  "func, ...: mma(instruction[, bf16 | fp16 | fp32 | own][, a=registers | shared])",
                                  "Contract on the matrix unit, with the operands rounded to this type.")),
        fixed("kernel", {"form"}, 1, "kernel(warp_specialized | general)",
              "The form of a GPU kernel: warps with roles of their own, or threads that do all alike."),
        fixed("warps", {"consumers", "producer", "registers", "chains"}, 1,
              "warps(consumers=n[, producer=n][, registers=consumer:producer][, chains=n])",
              "Warpgroups that compute, warpgroups that copy, their registers a thread; chains of a step apart."),
        fixed("pingpong", {"state"}, 0, "pingpong[(on | off)]", "Warpgroups take turns on the matrix unit."),
        fixed("skip", {"what"}, 0, "skip(mask | off)", "Do not visit tiles in which the mask is nowhere true."),
        variadic("specialize", "specialize(full, partial | off)",
                 "Separate code for tiles in which the mask is everywhere true."),
        fixed("persistent", {"state"}, 0, "persistent[(on | off)]",
              "One block a multiprocessor, taking tiles until none is left."),
        variadic("blocks", "blocks(axis [descending], axis, ...)", "Order of the blocks, innermost axis first."),
        fixed("rescale_when", {"bits"}, 1, "rescale_when(bits)",
              "Rescale the running state only when the maximum grew by more than this many powers of two."),
        fixed("vectorize", {"axis", "lanes"}, 2, "vectorize(axis, lanes)",
              "So many rows in the lanes of a vector."),
        variadic("parallel", "parallel(axis, ...)", "Run blocks on the thread pool."),
    };
}

std::vector<std::string> directive_names() {
    std::vector<std::string> names;
    for (const DirectiveSpec &s : known_directives()) {
        names.push_back(s.name);
    }
    return names;
}

void check_arguments(const Directive &d, const DirectiveSpec &spec) {
    const std::string what = "can't read " + to_string(d);
    const std::string legal = spec.usage;
    std::vector<bool> given(spec.parameters.size());
    size_t position = 0;
    for (const DirectiveArgument &a : d.arguments) {
        size_t slot = position;
        if (!a.key.empty()) {
            for (slot = 0; slot < spec.parameters.size() && spec.parameters[slot] != a.key; slot++) {
            }
            if (slot == spec.parameters.size()) {
                report_schedule_error(
                    a.span, what,
                    spec.name + " has no argument called " + a.key + suggestion_for(a.key, spec.parameters), legal);
            }
        } else if (spec.variadic) {
            continue;
        } else if (position++ >= spec.parameters.size()) {
            report_schedule_error(a.span, what,
                                  spec.name + " takes at most " + std::to_string(spec.parameters.size()) +
                                      " arguments; this is one too many",
                                  legal);
        }
        if (given[slot]) {
            report_schedule_error(a.span, what, "its argument " + spec.parameters[slot] + " is given twice", legal);
        }
        given[slot] = true;
    }
    if (spec.variadic && d.arguments.empty()) {
        report_schedule_error(d.span, what, spec.name + " needs at least one argument", legal);
    }
    for (int i = 0; i < spec.required && !spec.variadic; i++) {
        if (!given[i]) {
            report_schedule_error(d.span, what, spec.name + " needs its argument " + spec.parameters[i], legal);
        }
    }
}

}  // namespace

const std::vector<DirectiveSpec> &known_directives() {
    static const std::vector<DirectiveSpec> table = make_table();
    return table;
}

const DirectiveSpec *find_directive(const std::string &name) {
    for (const DirectiveSpec &s : known_directives()) {
        if (s.name == name) {
            return &s;
        }
    }
    return nullptr;
}

const DirectiveArgument *argument_of(const Directive &d, const std::string &parameter) {
    const DirectiveSpec *spec = find_directive(d.name);
    size_t position = 0;
    for (const DirectiveArgument &a : d.arguments) {
        if (!a.key.empty() ? a.key == parameter
                           : spec && position < spec->parameters.size() && spec->parameters[position++] == parameter) {
            return &a;
        }
    }
    return nullptr;
}

void check_directive(const Directive &d) {
    const DirectiveSpec *spec = find_directive(d.name);
    if (!spec) {
        report_schedule_error(d.span, "unknown directive " + d.name + suggestion_for(d.name, directive_names()), "",
                              "");
    }
    if (spec->subjects == Subjects::None && !d.subjects.empty()) {
        report_schedule_error(d.subject_spans.empty() ? d.span : d.subject_spans[0], "can't read " + to_string(d),
                              spec->name + " applies to the whole algorithm, not to " + list_of(d.subjects),
                              spec->usage);
    }
    if (spec->subjects != Subjects::None && d.subjects.empty()) {
        report_schedule_error(d.span, "can't read " + to_string(d),
                              spec->name + " must say which " +
                                  (spec->subjects == Subjects::Inputs ? "inputs" : "Funcs") + " it applies to",
                              spec->usage);
    }
    check_arguments(d, *spec);
}

void report_schedule_error(const SourceSpan &span, const std::string &what, const std::string &evidence,
                           const std::string &legal) {
    std::string text = position_of(span) + "error: " + what + "\n" + caret_of(span);
    if (!evidence.empty()) {
        text += "  " + evidence + "\n";
    }
    if (!legal.empty()) {
        text += "  legal here: " + legal + "\n";
    }
    text.pop_back();
    throw UserError(text);
}

}  // namespace strobe
