#include "DeriveOnline.h"

#include "DerivePass.h"
#include "Expressions.h"
#include "FinishPlan.h"
#include "SecondSeparation.h"
#include "Separate.h"
#include "support/Error.h"
#include "support/Log.h"

#include <algorithm>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

bool contains(const std::vector<std::string> &names, const std::string &name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

class Deriver {
    const ReductionGraph &graph;
    Draft draft;

    std::set<std::string> stream_dependencies(const Expr &e) const;
    Knowledge knowledge(int pass) const;
    void place(const Reduction &r);
    void place_after(const Reduction &r);
    Knowledge everything() const;
    void place_output(const Output &o);

public:
    explicit Deriver(const ReductionGraph &graph) : graph(graph), draft(graph) {
    }
    Plan derive();
};

/** Reductions over the stream that \p e uses, also through what is evaluated in a tile. */
std::set<std::string> Deriver::stream_dependencies(const Expr &e) const {
    std::set<std::string> result;
    for (const std::string &name : references(graph, e)) {
        const Reduction &r = graph.reduction(name);
        if (contains(r.over, draft.plan.roles.stream)) {
            result.insert(name);
        } else {
            const std::set<std::string> deeper = stream_dependencies(r.body);
            result.insert(deeper.begin(), deeper.end());
        }
    }
    return result;
}

/** Inside \p pass, results of the same pass are sums of moments; earlier ones are numbers. */
Knowledge Deriver::knowledge(int pass) const {
    Knowledge known{graph, draft.plan.roles.stream, {}, draft.nonnegative};
    for (const auto &[name, derived] : draft.derived) {
        if (derived.pass == pass) {
            known.values[name] = derived.value;
        }
    }
    return known;
}

std::string list(const std::set<std::string> &names) {
    std::string text;
    for (const std::string &n : names) {
        text += (text.empty() ? "" : ", ") + n;
    }
    return text;
}

/** Finds the earliest pass in which \p r can be computed; a reduction that blocks it
 * is final one pass earlier. */
void Deriver::place(const Reduction &r) {
    int pass = 0;
    for (const std::string &d : stream_dependencies(r.body)) {
        pass = std::max(pass, draft.derived.at(d).pass);
    }
    while (true) {
        try {
            derive_reduction(draft, r, knowledge(pass), pass);
            return;
        } catch (const Blocked &blocked) {
            std::ostringstream what;
            what << text_of(blocked.expr) << " cannot be separated: " << blocked.reason;
            if (blocked.blockers.empty()) {
                strobe_user_error() << "In Func " << r.name << ": " << what.str()
                                    << ", and no earlier result is in it that could be finished in a walk before. "
                                    << "A sum takes any body over " << draft.plan.roles.stream
                                    << " whose exponentials have sums for exponents; write it with those.";
            }
            int last = pass;
            for (const std::string &b : blocked.blockers) {
                last = std::max(last, draft.derived.at(b).pass);
            }
            pass = last + 1;
            draft.plan.facts.push_back({r.name, "barrier",
                                        what.str() + "; so " + list(blocked.blockers) +
                                            " must be final before, and pass " + std::to_string(pass + 1) + " walks " +
                                            draft.plan.roles.stream + " again"});
        }
    }
}

/** After the last pass: all results are sums of moments, or numbers. */
Knowledge Deriver::everything() const {
    Knowledge known{graph, draft.plan.roles.stream, {}, draft.nonnegative};
    for (const auto &[name, derived] : draft.derived) {
        known.values[name] = derived.value;
    }
    for (const Reduction &r : draft.plan.after) {
        Term number;
        number.coefficient = r.ref();
        known.values[r.name] = {number};
    }
    return known;
}

/** A reduction of finished results. */
void Deriver::place_after(const Reduction &r) {
    Reduction finished = r;
    const Knowledge known = everything();
    Separator separator(known);
    try {
        finished.body = separator.value(r.body);
        finished.init = r.init.defined() ? separator.value(r.init) : r.init;
    } catch (const Blocked &blocked) {
        strobe_user_error() << "Func " << r.name << ": " << text_of(blocked.expr)
                            << " cannot be computed after the stream: " << blocked.reason
                            << ". It may use results over " << draft.plan.roles.stream << ", not " << draft.plan.roles.stream << " itself.";
    }
    draft.plan.after.push_back(finished);
}

void Deriver::place_output(const Output &o) {
    const Knowledge known = everything();
    Output output = o;
    Separator separator(known);
    for (const std::string &name : references(graph, o.value)) {
        const std::vector<std::string> &axes = graph.reduction(name).axes;
        for (const std::string &feature : draft.plan.roles.features) {
            if (contains(draft.plan.inner, name) && contains(axes, feature)) {
                strobe_user_error() << "Output " << o.name << " has an element of " << name << ", a score for each "
                                    << feature << " and row: storing scores is what streaming avoids. Reduce them over "
                                    << draft.plan.roles.stream << " in the same algorithm instead.";
            }
        }
    }
    try {
        output.value = separator.value(o.value);
    } catch (const Blocked &blocked) {
        strobe_user_error() << "Output " << o.name << ": " << text_of(blocked.expr)
                            << " cannot be computed after the stream: " << blocked.reason
                            << ". It may use results over " << draft.plan.roles.stream << ", not " << draft.plan.roles.stream << " itself.";
    }
    draft.plan.outputs.push_back(output);
}

Plan Deriver::derive() {
    const std::string &stream = draft.plan.roles.stream;
    for (const Reduction &r : graph.reductions) {
        if (contains(r.over, stream)) {
            place(r);
        } else if (contains(draft.plan.roles.after, r.name)) {
            place_after(r);
        } else {
            draft.plan.inner.push_back(r.name);
        }
    }
    for (const Output &o : graph.outputs) {
        place_output(o);
    }
    return finish_plan(draft);
}

}  // namespace

Plan derive_online(const ReductionGraph &graph) {
    Plan plan = Deriver(graph).derive();
    separate_again(graph, plan);
    strobe_debug(2) << plan;
    return plan;
}

}  // namespace strobe
