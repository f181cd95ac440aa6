#include "SumArrays.h"

#include <algorithm>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

Expr runs_of(const SumsAhead &ahead, const Output &array, Type index) {
    Expr runs = make_one(index);
    for (const Axis &a : ahead.outer(array)) {
        if (a.name != ahead.chunk.name) {
            runs = runs * cast(index, a.extent);
        }
    }
    return simplify(runs);
}

Stmt with_array_shapes(const SumsAhead &ahead, Type stride, const Stmt &body) {
    Stmt s = body;
    for (const Output &array : ahead.program.outputs) {
        Expr step = make_one(stride);
        for (size_t d = 0; d < array.axes.size(); d++) {
            const Axis &a = ahead.program.axis(array.axes[d]);
            const std::string dim = std::to_string(d);
            s = LetStmt::make(array.name + ".stride." + dim, simplify(step), s);
            s = LetStmt::make(array.name + ".min." + dim, a.min, s);
            step = step * cast(stride, a.extent);
        }
    }
    return s;
}

namespace {

class DropParameters : public IRMutator {
    using IRMutator::visit;
    const SumsAhead &ahead;

    bool is_array(const Parameter &p) const {
        return p.defined() && std::any_of(ahead.program.outputs.begin(), ahead.program.outputs.end(),
                                          [&](const Output &o) { return o.name == p.name(); });
    }
    Expr visit(const Variable *op) override {
        return is_array(op->param) ? Variable::make(op->type, op->name) : Expr(op);
    }
    Expr visit(const Load *op) override {
        const Parameter own = is_array(op->param) ? Parameter() : op->param;
        return Load::make(op->type, op->name, mutate(op->index), op->image, own, mutate(op->predicate), op->alignment);
    }

public:
    explicit DropParameters(const SumsAhead &ahead) : ahead(ahead) {
    }
};

}  // namespace

Stmt without_parameters(const SumsAhead &ahead, const Stmt &s) {
    return DropParameters(ahead).mutate(s);
}

}  // namespace strobe
