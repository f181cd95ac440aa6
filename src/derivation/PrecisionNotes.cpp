#include "PrecisionNotes.h"

#include "Expressions.h"

#include <algorithm>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** Differences of a total over the stream and a running sum along it. */
class FindDifferences : public IRGraphVisitor {
    using IRGraphVisitor::visit;
    const ReductionGraph &graph;
    const std::string &stream;

    void visit(const Sub *op) override {
        const Reduction *total = graph.referred(op->a), *running = graph.referred(op->b);
        if (total && running && op->type.is_float() && op->type.bits() < 64 && has(total->over) && has(running->axes) &&
            !has(total->axes)) {
            found.insert(running->name);
        }
        IRGraphVisitor::visit(op);
    }
    bool has(const std::vector<std::string> &axes) const {
        return std::find(axes.begin(), axes.end(), stream) != axes.end();
    }

public:
    std::set<std::string> found;
    FindDifferences(const ReductionGraph &graph, const std::string &stream) : graph(graph), stream(stream) {
    }
};

}  // namespace

std::vector<std::string> precision_notes(const ReductionGraph &graph, const Plan &plan) {
    FindDifferences differences(graph, plan.roles.stream);
    for (const Reduction &r : graph.reductions) {
        r.body.accept(&differences);
    }
    for (const Output &o : graph.outputs) {
        o.value.accept(&differences);
    }
    std::vector<std::string> notes;
    for (const std::string &name : differences.found) {
        std::ostringstream text;
        text << name << ", a sum of later elements along " << plan.roles.stream
             << ", is computed as the sum of all less the sum up to the element, in " << graph.reduction(name).type
             << ": where what remains is small beside the sum of all, its last digits are lost; give " << name
             << " the type double to keep them";
        notes.push_back(text.str());
    }
    return notes;
}

}  // namespace strobe
