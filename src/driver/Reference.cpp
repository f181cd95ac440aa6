#include "Reference.h"

#include "support/Error.h"

#include <map>
#include <string>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

std::map<std::string, Function> functions_of(const std::vector<Func> &outputs) {
    std::vector<Function> functions;
    for (const Func &f : outputs) {
        functions.push_back(f.function());
    }
    return build_environment(functions);
}

/** Rewrites one expression of a Func in terms of the widened Funcs. */
class Widen : public IRMutator {
    using IRMutator::visit;
    const std::map<std::string, Func> &widened;

    static bool narrow(const Type &t) {
        return t.is_float() && t.bits() < 64;
    }

    Expr visit(const FloatImm *op) override {
        return FloatImm::make(Float(64), op->value);
    }

    Expr visit(const Variable *op) override {
        return narrow(op->type) ? Cast::make(Float(64), op) : Expr(op);
    }

    Expr visit(const Cast *op) override {
        const Expr value = mutate(op->value);
        if (op->type.is_float()) {
            return value.type() == Float(64) ? value : Cast::make(Float(64), value);
        }
        return Cast::make(op->type, value);
    }

    Expr visit(const Call *op) override {
        std::vector<Expr> args;
        for (const Expr &a : op->args) {
            args.push_back(mutate(a));
        }
        if (op->call_type == Call::Halide) {
            return Call::make(widened.at(op->name).function(), args, op->value_index);
        }
        if (!narrow(op->type)) {
            return Call::make(op->type, op->name, args, op->call_type, op->func, op->value_index, op->image, op->param);
        }
        if (op->call_type == Call::Image) {
            return Cast::make(Float(64), Call::make(op->type, op->name, args, op->call_type, op->func, op->value_index,
                                                    op->image, op->param));
        }
        std::string name = op->name;  // exp_f32 is called exp_f64 there
        const size_t suffix = name.rfind("_f");
        if (op->is_extern() && suffix != std::string::npos) {
            name = name.substr(0, suffix) + "_f64";
        }
        return Call::make(Float(64), name, args, op->call_type);
    }

public:
    explicit Widen(const std::map<std::string, Func> &widened) : widened(widened) {
    }

    std::vector<Expr> all(const std::vector<Expr> &exprs) {
        std::vector<Expr> result;
        for (const Expr &e : exprs) {
            result.push_back(mutate(substitute_in_all_lets(e)));
        }
        return result;
    }
};

void widen_function(const Function &f, std::map<std::string, Func> &widened) {
    if (f.has_extern_definition()) {
        strobe_user_error() << "can't compute " << f.name() << " in float64: it is an extern stage";
    }
    Func wide(f.name() + "_f64");
    widened[f.name()] = wide;
    Widen widen(widened);
    std::vector<Var> args;
    for (const std::string &a : f.args()) {
        args.emplace_back(a);
    }
    wide(args) = Tuple(widen.all(f.values()));
    for (const Definition &update : f.updates()) {
        wide(widen.all(update.args())) = Tuple(widen.all(update.values()));
    }
}

}  // namespace

void compute_reductions_at_root(const std::vector<Func> &outputs) {
    for (const auto &[name, function] : functions_of(outputs)) {
        if (function.has_update_definition()) {
            Func(function).compute_root();
        }
    }
}

std::vector<Func> widen_to_float64(const std::vector<Func> &outputs) {
    const std::map<std::string, Function> env = functions_of(outputs);
    std::vector<Function> functions;
    for (const Func &f : outputs) {
        functions.push_back(f.function());
    }
    std::map<std::string, Func> widened;
    for (const std::string &name : topological_order(functions, env)) {
        widen_function(env.at(name), widened);
    }
    std::vector<Func> result;
    for (const Func &f : outputs) {
        result.push_back(widened.at(f.name()));
    }
    return result;
}

Target reference_target() {
    return get_host_target().with_feature(Target::StrictFloat);
}

}  // namespace strobe
