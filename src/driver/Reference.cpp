#include "Reference.h"

#include "schedule/ResolveNames.h"
#include "support/Error.h"
#include "tile/SplitProduct.h"

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

/** Rounds the factors of the products that a Func sums up. */
class RoundFactors : public IRMutator {
    using IRMutator::visit;
    const std::map<std::string, Func> &rounded;
    const Type all_to;  // both factors, if it is a type

    Expr visit(const Call *op) override {
        const Expr e = IRMutator::visit(op);
        const Call *call = e.as<Call>();
        if (op->call_type != Call::Halide || !call) {
            return e;
        }
        return Call::make(rounded.at(op->name).function(), call->args, op->value_index);
    }

    static Type narrow_type(const Expr &e) {
        const Cast *c = e.as<Cast>();
        return c && is_narrow_float(c->value.type()) ? c->value.type() : Type();
    }

    Expr product(const Mul *op) const {
        const Type a = narrow_type(op->a), b = narrow_type(op->b);
        const auto to = [&](const Type &t, const Expr &e) { return t.bits() ? cast(e.type(), cast(t, e)) : e; };
        return to(b.bits() ? b : all_to, op->a) * to(a.bits() ? a : all_to, op->b);
    }

public:
    RoundFactors(const std::map<std::string, Func> &rounded, const Type &all_to) : rounded(rounded), all_to(all_to) {
    }

    std::vector<Expr> all(const std::vector<Expr> &exprs) {
        std::vector<Expr> result;
        for (const Expr &e : exprs) {
            const Expr changed = mutate(substitute_in_all_lets(e));
            const Add *sum = changed.as<Add>();
            const Mul *term = sum && sum->a.as<Call>() && e.type() == Float(32) ? sum->b.as<Mul>() : nullptr;
            result.push_back(term ? sum->a + product(term) : changed);
        }
        return result;
    }
};

/** The Funcs anew, each after those it uses, with other expressions. */
template<typename MakeRewriter>
std::vector<Func> rewritten(const std::vector<Func> &outputs, const std::string &suffix, MakeRewriter make) {
    const std::map<std::string, Function> env = functions_of(outputs);
    std::vector<Function> functions;
    for (const Func &f : outputs) {
        functions.push_back(f.function());
    }
    std::map<std::string, Func> made;
    for (const std::string &name : topological_order(functions, env)) {
        const Function &f = env.at(name);
        if (f.has_extern_definition()) {
            strobe_user_error() << "can't compute " << name << " as a reference: it is an extern stage";
        }
        Func anew(name + suffix);
        made[name] = anew;
        auto rewriter = make(made, name);
        std::vector<Var> args;
        for (const std::string &a : f.args()) {
            args.emplace_back(a);
        }
        anew(args) = Tuple(rewriter.all(f.values()));
        for (const Definition &update : f.updates()) {
            anew(rewriter.all(update.args())) = Tuple(rewriter.all(update.values()));
        }
    }
    std::vector<Func> result;
    for (const Func &f : outputs) {
        result.push_back(made.at(f.name()));
    }
    return result;
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
    return rewritten(outputs, "_f64",
                     [](const std::map<std::string, Func> &made, const std::string &) { return Widen(made); });
}

std::vector<Func> round_operands(const std::vector<Func> &outputs, const TileProgram &program) {
    std::map<std::string, Type> contracted;  // tile value -> type that both operands are rounded to
    for (const StreamPass &pass : program.passes) {
        for (const auto *ops : {&pass.prologue, &pass.step, &pass.epilogue}) {
            for (const TileOp &op : *ops) {
                if (op.kind == TileOp::Kind::Contract && is_narrow_float(op.operand_type)) {
                    contracted[base_name(op.dst)] = op.operand_type;
                }
            }
        }
    }
    return rewritten(outputs, "_rounded", [&](const std::map<std::string, Func> &made, const std::string &name) {
        const auto found = contracted.find(base_name("%" + name));
        return RoundFactors(made, found == contracted.end() ? Type() : found->second);
    });
}

Target reference_target() {
    return get_host_target().with_feature(Target::StrictFloat);
}

}  // namespace strobe
