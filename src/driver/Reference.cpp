#include "Reference.h"

#include "schedule/ResolveNames.h"
#include "support/Error.h"
#include "tile/SplitProduct.h"

#include <algorithm>
#include <map>
#include <set>
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

/** A Func anew, and where the elements of its Tuple are now. */
struct Remade {
    Func func;
    std::vector<int> place;
};
using AllRemade = std::map<std::string, Remade>;

Expr call_of(const AllRemade &made, const Call *op, const std::vector<Expr> &args) {
    const Remade &to = made.at(op->name);
    return Call::make(to.func.function(), args, to.place[op->value_index]);
}

/** Rewrites one expression of a Func in terms of the widened Funcs. */
class Widen : public IRMutator {
    using IRMutator::visit;
    const AllRemade &widened;

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
            return call_of(widened, op, args);
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
    explicit Widen(const AllRemade &widened) : widened(widened) {
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
    const AllRemade &rounded;
    const Type all_to;  // both factors, if it is a type

    Expr visit(const Call *op) override {
        const Expr e = IRMutator::visit(op);
        const Call *call = e.as<Call>();
        if (op->call_type != Call::Halide || !call) {
            return e;
        }
        return call_of(rounded, op, call->args);
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
    RoundFactors(const AllRemade &rounded, const Type &all_to) : rounded(rounded), all_to(all_to) {
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

class FindElements : public IRVisitor {
    using IRVisitor::visit;
    const std::string &name;
    std::set<int> &found;

    void visit(const Call *op) override {
        if (op->call_type == Call::Halide && op->name == name) {
            found.insert(op->value_index);
        }
        IRVisitor::visit(op);
    }

public:
    FindElements(const std::string &name, std::set<int> &found) : name(name), found(found) {
    }
};

/** The elements of f's Tuple in an order in which each is updated before those that it reads. Halide 21 may
 * read them as they are after the update if floats are strict. As they come where there is no such order. */
std::vector<int> updated_in_order(const Function &f) {
    const int n = f.outputs();
    std::vector<int> order, natural;
    std::vector<std::set<int>> reads(n);
    for (int k = 0; k < n; k++) {
        natural.push_back(k);
        for (const Definition &update : f.updates()) {
            FindElements find(f.name(), reads[k]);
            substitute_in_all_lets(update.values()[k]).accept(&find);
        }
    }
    while (int(order.size()) < n) {
        const auto left = [&](int k) { return std::count(order.begin(), order.end(), k) == 0; };
        const auto ready = std::find_if(natural.begin(), natural.end(), [&](int k) {
            return left(k) && std::none_of(natural.begin(), natural.end(), [&](int reader) {
                       return reader != k && left(reader) && reads[reader].count(k) > 0;
                   });
        });
        if (ready == natural.end()) {
            return natural;
        }
        order.push_back(*ready);
    }
    return order;
}

/** The Funcs anew, each after those it uses, with other expressions. */
template<typename MakeRewriter>
std::vector<Func> rewritten(const std::vector<Func> &outputs, const std::string &suffix, MakeRewriter make) {
    const std::map<std::string, Function> env = functions_of(outputs);
    std::vector<Function> functions;
    for (const Func &f : outputs) {
        functions.push_back(f.function());
    }
    AllRemade made;
    for (const std::string &name : topological_order(functions, env)) {
        const Function &f = env.at(name);
        if (f.has_extern_definition()) {
            strobe_user_error() << "can't compute " << name << " as a reference: it is an extern stage";
        }
        Func anew(name + suffix);
        const bool is_output =
            std::any_of(outputs.begin(), outputs.end(), [&](const Func &o) { return o.name() == name; });
        std::vector<int> order = updated_in_order(f);
        if (is_output) {
            std::sort(order.begin(), order.end());
        }
        std::vector<int> place(order.size());
        for (size_t n = 0; n < order.size(); n++) {
            place[order[n]] = int(n);
        }
        made[name] = {anew, place};
        auto rewriter = make(made, name);
        const auto values = [&](const std::vector<Expr> &all) {
            const std::vector<Expr> changed = rewriter.all(all);
            std::vector<Expr> ordered;
            for (int k : order) {
                ordered.push_back(changed[k]);
            }
            return Tuple(ordered);
        };
        std::vector<Var> args;
        for (const std::string &a : f.args()) {
            args.emplace_back(a);
        }
        anew(args) = values(f.values());
        for (const Definition &update : f.updates()) {
            anew(rewriter.all(update.args())) = values(update.values());
        }
    }
    std::vector<Func> result;
    for (const Func &f : outputs) {
        result.push_back(made.at(f.name()).func);
    }
    return result;
}

/** Changes nothing but which Funcs are called. */
class Anew : public IRMutator {
    using IRMutator::visit;
    const AllRemade &made;

    Expr visit(const Call *op) override {
        const Expr e = IRMutator::visit(op);
        return op->call_type == Call::Halide ? call_of(made, op, e.as<Call>()->args) : e;
    }

public:
    explicit Anew(const AllRemade &made) : made(made) {
    }
    std::vector<Expr> all(const std::vector<Expr> &exprs) {
        std::vector<Expr> result;
        for (const Expr &e : exprs) {
            result.push_back(mutate(substitute_in_all_lets(e)));
        }
        return result;
    }
};

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
                     [](const AllRemade &made, const std::string &) { return Widen(made); });
}

std::vector<Func> as_they_are(const std::vector<Func> &outputs) {
    return rewritten(outputs, "_anew", [](const AllRemade &made, const std::string &) { return Anew(made); });
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
    return rewritten(outputs, "_rounded", [&](const AllRemade &made, const std::string &name) {
        const auto found = contracted.find(base_name("%" + name));
        return RoundFactors(made, found == contracted.end() ? Type() : found->second);
    });
}

Target reference_target() {
    return get_host_target().with_feature(Target::StrictFloat);
}

}  // namespace strobe
