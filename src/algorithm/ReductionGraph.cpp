#include "ReductionGraph.h"

#include "support/Error.h"

#include <algorithm>
#include <set>

namespace strobe {

using namespace Halide;
using Halide::Internal::Variable;

const char *name_of(ReduceOp op) {
    switch (op) {
    case ReduceOp::Sum:
        return "sum";
    case ReduceOp::Product:
        return "product";
    case ReduceOp::Max:
        return "max";
    case ReduceOp::Min:
        return "min";
    case ReduceOp::And:
        return "and";
    case ReduceOp::Or:
        return "or";
    }
    return "?";
}

Expr identity_of(ReduceOp op, Type t) {
    switch (op) {
    case ReduceOp::Sum:
        return Internal::make_zero(t);
    case ReduceOp::Product:
        return Internal::make_one(t);
    case ReduceOp::Max:
        return t.is_float() ? cast(t, Expr(-std::numeric_limits<float>::infinity())) : t.min();
    case ReduceOp::Min:
        return t.is_float() ? cast(t, Expr(std::numeric_limits<float>::infinity())) : t.max();
    case ReduceOp::And:
        return Internal::const_true();
    case ReduceOp::Or:
        return Internal::const_false();
    }
    return Expr();
}

Expr chosen(const Expr &value, const Expr &key) {
    return Internal::Call::make(value.type(), "chosen", {value, key}, Internal::Call::PureExtern);
}

std::optional<Chosen> as_chosen(const Expr &body) {
    const Internal::Call *call = body.as<Internal::Call>();
    if (!call || call->call_type != Internal::Call::PureExtern || call->name != "chosen") {
        return std::nullopt;
    }
    return Chosen{call->args[0], call->args[1]};
}

Expr combine(ReduceOp op, const Expr &a, const Expr &b) {
    switch (op) {
    case ReduceOp::Sum:
        return a + b;
    case ReduceOp::Product:
        return a * b;
    case ReduceOp::Max:
        return max(a, b);
    case ReduceOp::Min:
        return min(a, b);
    case ReduceOp::And:
        return a && b;
    case ReduceOp::Or:
        return a || b;
    }
    return Expr();
}

Expr Reduction::ref() const {
    return Variable::make(type, "%" + name);
}

const Axis &ReductionGraph::axis(const std::string &name) const {
    for (const Axis &a : axes) {
        if (a.name == name) {
            return a;
        }
    }
    strobe_internal_error() << "no axis " << name;
}

const Reduction &ReductionGraph::reduction(const std::string &name) const {
    for (const Reduction &r : reductions) {
        if (r.name == name) {
            return r;
        }
    }
    strobe_internal_error() << "no reduction " << name;
}

const Reduction *ReductionGraph::referred(const Expr &e) const {
    const Variable *v = e.as<Variable>();
    if (!v || v->name.empty() || v->name[0] != '%') {
        return nullptr;
    }
    for (const Reduction &r : reductions) {
        if (v->name.compare(1, std::string::npos, r.name) == 0) {
            return &r;
        }
    }
    return nullptr;
}

namespace {

class FindAxes : public Internal::IRVisitor {
    using IRVisitor::visit;
    const ReductionGraph &graph;

    void visit(const Variable *op) override {
        for (const Axis &a : graph.axes) {
            if (a.name == op->name) {
                found.insert(a.name);
            }
        }
        if (const Reduction *r = graph.referred(op)) {
            found.insert(r->axes.begin(), r->axes.end());
        }
    }

public:
    std::set<std::string> found;
    explicit FindAxes(const ReductionGraph &graph) : graph(graph) {
    }
};

std::string join(const std::vector<std::string> &names) {
    std::string text;
    for (const std::string &n : names) {
        text += (text.empty() ? "" : ", ") + n;
    }
    return text;
}

}  // namespace

std::vector<std::string> axes_of(const ReductionGraph &graph, const Expr &e) {
    FindAxes finder(graph);
    if (e.defined()) {
        e.accept(&finder);
    }
    std::vector<std::string> names;
    for (const Axis &a : graph.axes) {
        if (finder.found.count(a.name)) {
            names.push_back(a.name);
        }
    }
    return names;
}

std::ostream &operator<<(std::ostream &stream, const ReductionGraph &graph) {
    for (const Axis &a : graph.axes) {
        stream << "axis " << a.name << " in [" << a.min << ", +" << a.extent << ")\n";
    }
    for (const Reduction &r : graph.reductions) {
        stream << r.name << "[" << join(r.axes) << "] = " << name_of(r.op) << " over " << join(r.over) << " of "
               << r.body;
        if (r.rank >= 0) {
            stream << ", behind " << r.rank;
        }
        if (r.init.defined()) {
            stream << " from " << r.init;
        }
        stream << "\n";
    }
    for (const Output &o : graph.outputs) {
        stream << "output " << o.name << "[" << join(o.axes) << "] = " << o.value << "\n";
    }
    return stream;
}

}  // namespace strobe
