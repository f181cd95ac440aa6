#include "ReplaceNest.h"

#include "support/Error.h"

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** Defines the host pointer and the shape of an output buffer from its handle,
 * which is an argument of every pipeline. */
Stmt bind_output(const Function &output, Stmt s) {
    for (const Parameter &p : output.output_buffers()) {
        const Expr handle = Variable::make(type_of<halide_buffer_t *>(), p.name() + ".buffer", p);
        auto define = [&](const std::string &name, Type t, const char *call, std::vector<Expr> args) {
            args.insert(args.begin(), handle);
            s = LetStmt::make(name, Call::make(t, call, args, Call::Extern), s);
        };
        for (int d = 0; d < output.dimensions(); d++) {
            const std::string dim = std::to_string(d);
            define(p.name() + ".min." + dim, Int(32), Call::buffer_get_min, {d});
            define(p.name() + ".extent." + dim, Int(32), Call::buffer_get_extent, {d});
            define(p.name() + ".stride." + dim, Int(32), Call::buffer_get_stride, {d});
        }
        define(p.name(), type_of<void *>(), Call::buffer_get_host, {});
    }
    return s;
}

/** Halide lets its code generator assume that no infinity occurs unless the module
 * asks for strict arithmetic somewhere. Masked scores are -inf, so ours must: the
 * estimates of a Func are looked at for such a request, and change nothing else. */
void require_strict_float(Function f) {
    const Expr request = Call::make(Bool(), Call::strict_lt, {0.0f, 1.0f}, Call::PureIntrinsic);
    f.schedule().estimates().push_back({f.args().empty() ? "" : f.args().front(), select(request, 0, 0), Expr(), Expr(), Expr()});
}

class ReplaceNest : public IRMutator {
    using IRMutator::visit;
    const Stmt nest;

    /** The nest is often a block: its first statement brings all, the others go. */
    Stmt replace() {
        Stmt s = done ? Evaluate::make(0) : nest;
        done = true;
        return s;
    }
    Stmt visit(const Allocate *) override {
        return replace();
    }
    Stmt visit(const ProducerConsumer *) override {
        return replace();
    }

public:
    bool done = false;
    ReplaceNest(const Stmt &n)
        : nest(n) {
    }
};

/** The pass that a Pipeline owns. */
class Install : public IRMutator {
    const Stmt nest;

public:
    Install(const Stmt &n)
        : nest(n) {
    }
    Stmt mutate(const Stmt &s) override {
        return replace_nest(s, nest);
    }
};

}  // namespace

Stmt replace_nest(const Stmt &s, const Stmt &nest) {
    ReplaceNest replace(nest);
    Stmt result = replace.mutate(s);
    strobe_internal_assert(replace.done) << "the pipeline has no loop nest to replace:\n" << s;
    return result;
}

void install_nest(Pipeline pipeline, const Stmt &nest) {
    Stmt s = nest;
    for (const Func &f : pipeline.outputs()) {
        s = bind_output(f.function(), s);
    }
    require_strict_float(pipeline.outputs().front().function());
    pipeline.clear_custom_lowering_passes();
    pipeline.add_custom_lowering_pass(new Install(s));
}

}  // namespace strobe
