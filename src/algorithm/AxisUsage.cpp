#include "AxisUsage.h"

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** Calls \p found for each argument that is just the variable. */
class FindPlainArguments : public IRVisitor {
    using IRVisitor::visit;
    const std::string &variable;
    std::set<const IRNode *> seen;

    void visit(const Call *op) override {
        if (!seen.insert(op).second) {
            return;
        }
        if (op->call_type == Call::Halide || op->call_type == Call::Image) {
            for (size_t i = 0; i < op->args.size(); i++) {
                const Variable *v = op->args[i].as<Variable>();
                if (v && v->name == variable) {
                    found.emplace_back(op, int(i));
                }
            }
        }
        IRVisitor::visit(op);
    }

public:
    std::vector<std::pair<const Call *, int>> found;
    explicit FindPlainArguments(const std::string &variable) : variable(variable) {
    }
};

}  // namespace

bool is_chosen_name(const std::string &name) {
    if (name.empty() || name[0] == '_' || name.find_first_of("$.") != std::string::npos) {
        return false;
    }
    const bool automatic = (name[0] == 'v' || name[0] == 'r') && name.size() > 1 &&
                           name.find_first_not_of("0123456789", 1) == std::string::npos;
    return !automatic;
}

void AxisUsage::add(const Expr &e, const std::string &variable, std::set<Usage> &result) {
    FindPlainArguments find(variable);
    e.accept(&find);
    for (const auto &[call, n] : find.found) {
        if (call->call_type == Call::Image) {
            result.emplace(call->name, n);
        } else {
            const std::set<Usage> &deeper = of_argument(Function(call->func), n);
            result.insert(deeper.begin(), deeper.end());
        }
    }
}

const std::set<Usage> &AxisUsage::of_argument(const Function &f, int n) {
    const Usage self{f.name(), n};
    auto it = known.find(self);
    if (it != known.end()) {
        return it->second;
    }
    known[self] = {self};  // stops at the calls of f to itself
    if (n < int(f.args().size())) {
        std::set<Usage> result{self};
        std::vector<Expr> exprs;
        if (f.has_pure_definition()) {
            exprs = f.values();
        }
        for (const Definition &update : f.updates()) {
            exprs.insert(exprs.end(), update.values().begin(), update.values().end());
            exprs.push_back(update.predicate());
        }
        for (const Expr &e : exprs) {
            add(e, f.args()[n], result);
        }
        known[self] = result;
    }
    return known[self];
}

std::set<Usage> AxisUsage::of_variable(const std::vector<Expr> &exprs, const std::string &variable) {
    std::set<Usage> result;
    for (const Expr &e : exprs) {
        add(e, variable, result);
    }
    return result;
}

std::string AxisUsage::var_name(const std::vector<Expr> &exprs, const std::string &variable) const {
    for (const Expr &e : exprs) {
        FindPlainArguments find(variable);
        e.accept(&find);
        for (const auto &[call, n] : find.found) {
            if (call->call_type == Call::Halide && call->func.defined()) {
                const Function f(call->func);
                if (n < int(f.args().size()) && is_chosen_name(f.args()[n])) {
                    return f.args()[n];
                }
            }
        }
    }
    return "";
}

}  // namespace strobe
