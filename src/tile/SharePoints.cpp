#include "SharePoints.h"

#include "support/Error.h"

#include <algorithm>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

const std::string point_mark = ".at";

bool reads(const TileOp &op, const std::string &name) {
    return op.a == name || op.b == name || (op.expr.defined() && expr_uses_var(op.expr, name));
}

class Copies {
    const TileProgram &program;
    const std::string &axis;
    const int points;
    std::set<std::string> own;  // values that depend on the axis

    template<typename Action>
    void each_op(Action action) const {
        for (const StreamPass &pass : program.passes) {
            for (const auto *ops : {&pass.prologue, &pass.step, &pass.epilogue, &pass.merge}) {
                for (const TileOp &op : *ops) {
                    action(op);
                }
            }
        }
    }

public:
    bool depends(const TileOp &op) const {
        return own.count(op.dst) || reads(op, axis) ||
               std::any_of(own.begin(), own.end(), [&](const std::string &v) { return reads(op, v); });
    }

private:
    void find_own() {
        size_t known = 0;
        do {
            known = own.size();
            each_op([&](const TileOp &op) {
                if (op.kind != TileOp::Kind::Store && depends(op)) {
                    own.insert(op.dst);
                }
            });
            for (const StreamPass &pass : program.passes) {
                for (const std::string &state : pass.state) {
                    if (own.count(state) || own.count(other_part(state))) {
                        own.insert(state);
                        own.insert(other_part(state));
                    }
                }
            }
        } while (own.size() != known);
    }
    std::string copy_of(const std::string &value, int n) const {
        if (!own.count(value)) {
            return value;
        }
        for (const StreamPass &pass : program.passes) {
            for (const std::string &state : pass.state) {
                if (value == other_part(state)) {
                    return other_part(point_of(state, n));
                }
            }
        }
        return point_of(value, n);
    }
    TileOp copy_of(TileOp op, int n) const {
        std::map<std::string, Expr> names = {{axis, Variable::make(Int(32), point_of(axis, n))}};
        for (const std::string &v : own) {
            names[v] = Variable::make(program.value(v).type, copy_of(v, n));
        }
        op.dst = op.kind == TileOp::Kind::Store ? op.dst : copy_of(op.dst, n);
        op.a = op.a.empty() ? op.a : copy_of(op.a, n);
        op.b = op.b.empty() ? op.b : copy_of(op.b, n);
        op.expr = op.expr.defined() ? substitute(names, op.expr) : op.expr;
        for (std::string &a : op.out_axes) {
            a = a == axis ? point_of(axis, n) : a;
        }
        return op;
    }
    void copy_ops(std::vector<TileOp> &ops) const {
        std::vector<TileOp> all;
        for (const TileOp &op : ops) {
            const bool stored = op.kind == TileOp::Kind::Store &&
                                std::find(op.out_axes.begin(), op.out_axes.end(), axis) != op.out_axes.end();
            for (int n = 0; n < (depends(op) || stored ? points : 1); n++) {
                all.push_back(copy_of(op, n));
            }
        }
        ops = all;
    }

public:
    Copies(const TileProgram &program, const std::string &axis, int points)
        : program(program), axis(axis), points(points) {
        find_own();
    }

    TileProgram make() const {
        TileProgram result = program;
        result.points[axis] = points;
        result.values.clear();
        for (const TileValue &v : program.values) {
            for (int n = 0; n < (own.count(v.name) ? points : 1); n++) {
                result.values.push_back(v);
                result.values.back().name = copy_of(v.name, n);
            }
        }
        for (StreamPass &pass : result.passes) {
            for (auto *ops : {&pass.prologue, &pass.step, &pass.epilogue, &pass.merge}) {
                copy_ops(*ops);
            }
            std::vector<std::string> state;
            for (const std::string &name : pass.state) {
                for (int n = 0; n < (own.count(name) ? points : 1); n++) {
                    state.push_back(copy_of(name, n));
                }
            }
            pass.state = state;
        }
        return result;
    }
};

/** sum = ...; value = f(value) + sum becomes value = f(value); value += ... */
void add_directly(TileProgram &program, StreamPass &pass) {
    std::vector<TileOp> ops;
    std::set<std::string> gone;
    const auto sum_of = [&](const TileOp &op) -> const TileOp * {
        const Add *add = op.kind == TileOp::Kind::Map && op.when == TileOp::When::Always ? op.expr.as<Add>() : nullptr;
        const Variable *part = add ? add->b.as<Variable>() : nullptr;
        if (!part || expr_uses_var(add->a, part->name)) {
            return nullptr;
        }
        const TileOp *found = nullptr;
        int uses = 0;
        for (const auto *list : {&pass.prologue, &pass.step, &pass.epilogue}) {
            for (const TileOp &other : *list) {
                uses += reads(other, part->name);
                found = other.dst == part->name ? &other : found;
            }
        }
        const bool fits = found && uses == 1 && found->kind == TileOp::Kind::Reduce && found->op == ReduceOp::Sum &&
                          found->axis == program.stream.name && found->when == TileOp::When::Always &&
                          !reads(*found, op.dst) && program.value(op.dst).dims.size() == 2 &&
                          program.value(op.dst).type == Float(32);
        return fits ? found : nullptr;
    };
    for (const TileOp &op : pass.step) {
        if (const TileOp *sum = sum_of(op)) {
            gone.insert(sum->dst);
        }
    }
    for (const TileOp &op : pass.step) {
        if (op.kind == TileOp::Kind::Reduce && gone.count(op.dst)) {
            continue;
        }
        ops.push_back(op);
        const TileOp *sum = sum_of(op);
        if (sum) {
            ops.back().expr = op.expr.as<Add>()->a;
        }
    }
    // The sums come last, side by side: what they read is computed by then, and nothing in the step reads them.
    for (const TileOp &op : pass.step) {
        if (const TileOp *sum = sum_of(op)) {
            TileOp added = *sum;
            added.dst = op.dst;
            added.accumulate = true;
            ops.push_back(added);
        }
    }
    pass.step = ops;
    std::vector<TileValue> &values = program.values;
    values.erase(std::remove_if(values.begin(), values.end(), [&](const TileValue &v) { return gone.count(v.name) > 0; }),
                 values.end());
}

}  // namespace

std::string point_of(const std::string &axis, int n) {
    return axis + point_mark + std::to_string(n);
}

std::string grid_axis_of(const TileProgram &program, const std::string &name) {
    for (const Axis &a : program.grid) {
        const auto points = program.points.find(a.name);
        bool own = a.name == name;
        for (int n = 0; points != program.points.end() && n < points->second; n++) {
            own |= point_of(a.name, n) == name;
        }
        if (own) {
            return a.name;
        }
    }
    return "";
}

namespace {

bool mask_reads(const TileProgram &program, const std::string &axis) {
    return std::any_of(program.passes.begin(), program.passes.end(), [&](const StreamPass &pass) {
        const MaskVerdict &m = pass.mask;
        const std::vector<Expr> all = {m.guard, m.dead, m.full, m.begin, m.end};
        return !m.summaries.empty() || std::any_of(all.begin(), all.end(), [&](const Expr &e) {
                   return e.defined() && expr_uses_var(e, axis);
               });
    });
}

/** Inputs that are read at the row and the streamed element. */
class FindPairs : public IRGraphVisitor {
    using IRGraphVisitor::visit;
    const TileProgram &program;
    void visit(const Call *op) override {
        if (op->call_type == Call::Image && expr_uses_var(op, program.query.name) &&
            expr_uses_var(op, program.stream.name)) {
            found.push_back(op);
        }
        IRGraphVisitor::visit(op);
    }

public:
    std::vector<Expr> found;
    explicit FindPairs(const TileProgram &program) : program(program) {
    }
};

}  // namespace

std::string axis_to_share(const TileProgram &program) {
    for (const Axis &a : program.grid) {
        if (program.passes.size() != 1 || mask_reads(program, a.name)) {
            continue;
        }
        for (const TileOp &op : program.passes[0].step) {
            if (op.kind != TileOp::Kind::Reduce || op.axis != program.stream.name || program.value(op.dst).dims.size() != 2 ||
                !Copies(program, a.name, 2).depends(op)) {
                continue;
            }
            FindPairs pairs(program);
            op.expr.accept(&pairs);
            const bool free = std::all_of(pairs.found.begin(), pairs.found.end(),
                                          [&](const Expr &e) { return !expr_uses_var(e, a.name); });
            if (free && !pairs.found.empty()) {
                return a.name;
            }
        }
    }
    return "";
}

TileProgram share_points(const TileProgram &program, const std::string &axis, int points) {
    strobe_user_assert(!mask_reads(program, axis))
        << "In algorithm " << program.name << ": can't share(" << axis << ", " << points << "): which keys a row sees depends "
        << "on " << axis << ", or on data; legal is another axis of the grid that the mask does not read, or no share";
    if (points == 1) {
        return program;
    }
    TileProgram result = Copies(program, axis, points).make();
    for (StreamPass &pass : result.passes) {
        add_directly(result, pass);
    }
    return result;
}

}  // namespace strobe
