#include "Strips.h"

#include <algorithm>

namespace strobe::cpu {

using namespace Halide;
using namespace Halide::Internal;

namespace {

bool has_axis(const std::vector<TileDim> &dims, const std::string &axis) {
    return std::any_of(dims.begin(), dims.end(), [&](const TileDim &d) { return d.axis == axis; });
}

/** The tile values that an op reads, its own dst included where it changes that. */
std::set<std::string> values_read(const TileProgram &program, const TileOp &op) {
    class Values : public IRVisitor {
        using IRVisitor::visit;
        const TileProgram &program;
        void visit(const Variable *v) override {
            if (!v->param.defined() && program.has_value(v->name)) {
                found.insert(v->name);
            }
        }

    public:
        std::set<std::string> found;
        explicit Values(const TileProgram &p) : program(p) {
        }
    } values(program);
    if (op.expr.defined()) {
        op.expr.accept(&values);
    }
    if (op.kind == TileOp::Kind::Contract) {
        values.found.insert({op.a, op.b});
        if (op.accumulate) {
            values.found.insert(op.dst);
        }
    }
    return values.found;
}

/** The op gives every element of its dst anew, whatever it was. */
bool defines(const TileProgram &program, const TileOp &op) {
    return op.kind != TileOp::Kind::Store && op.when == TileOp::When::Always &&
           !values_read(program, op).count(op.dst);
}

/** An op without rows of its own that reads such. */
bool combines_rows(const TileProgram &program, const TileOp &op) {
    if (is_of_rows(program, op)) {
        return false;
    }
    const std::set<std::string> read = values_read(program, op);
    return (op.expr.defined() && expr_uses_var(op.expr, program.query.name)) ||
           std::any_of(read.begin(), read.end(),
                       [&](const std::string &v) { return has_axis(program.value(v).dims, program.query.name); });
}

/** Whether the ops without rows may all go before the others. */
bool can_go_first(const TileProgram &program, const std::vector<TileOp> &ops) {
    std::set<std::string> touched;  // by ops of rows so far
    for (const TileOp &op : ops) {
        std::set<std::string> names = values_read(program, op);
        if (op.kind != TileOp::Kind::Store) {
            names.insert(op.dst);
        }
        if (is_of_rows(program, op)) {
            touched.insert(names.begin(), names.end());
        } else if (op.kind == TileOp::Kind::Store || touched.count(op.dst) || combines_rows(program, op)) {
            return false;
        }
    }
    return true;
}

/** What each step of the program does with a value. */
struct Life {
    size_t first = 0, last = 0;  // op, of the step
    bool defined = false;        // by the first
    const StreamPass *pass = nullptr;
    bool elsewhere = false;      // it is used outside steps, or in several
};

std::map<std::string, Life> lives_of(const TileProgram &program) {
    std::map<std::string, Life> lives;
    auto names_of = [&](const TileOp &op) {
        std::set<std::string> names = values_read(program, op);
        if (op.kind != TileOp::Kind::Store) {
            names.insert(op.dst);
        }
        return names;
    };
    for (const StreamPass &pass : program.passes) {
        for (const auto *ops : {&pass.prologue, &pass.epilogue, &pass.merge}) {
            for (const TileOp &op : *ops) {
                for (const std::string &v : names_of(op)) {
                    lives[v].elsewhere = true;
                }
            }
        }
        for (const std::string &v : pass.state) {
            lives[v].elsewhere = true;
        }
        const std::vector<TileOp> step = rows_last(program, pass.step);
        for (size_t k = 0; k < step.size(); k++) {
            for (const std::string &v : names_of(step[k])) {
                Life &life = lives[v];
                life.elsewhere |= life.pass && life.pass != &pass;
                if (!life.pass) {
                    life.pass = &pass;
                    life.first = k;
                    life.defined = step[k].dst == v && defines(program, step[k]);
                }
                life.last = k;
            }
        }
    }
    return lives;
}

bool same_layout(const TileStorage &a, const TileStorage &b) {
    return a.type == b.type && a.row_stride == b.row_stride &&
           std::equal(a.dims.begin(), a.dims.end(), b.dims.begin(), b.dims.end(),
                      [](const TileDim &x, const TileDim &y) { return x.axis == y.axis && x.size == y.size; });
}

}  // namespace

bool is_of_rows(const TileProgram &program, const TileOp &op) {
    const std::string &rows = program.query.name;
    if (op.kind == TileOp::Kind::Store) {
        return std::count(op.out_axes.begin(), op.out_axes.end(), rows) > 0;
    }
    return has_axis(program.value(op.dst).dims, rows);
}

std::vector<TileOp> rows_last(const TileProgram &program, const std::vector<TileOp> &ops) {
    std::vector<TileOp> sorted = ops;
    if (can_go_first(program, ops)) {
        std::stable_partition(sorted.begin(), sorted.end(), [&](const TileOp &op) { return !is_of_rows(program, op); });
    }
    return sorted;
}

Strips divide_rows(const TileProgram &program, int width) {
    Strips strips;
    strips.rows = width;
    strips.count = (program.query_tile + width - 1) / width;
    for (const StreamPass &pass : program.passes) {
        bool separate = can_go_first(program, pass.step);
        for (const auto *ops : {&pass.prologue, &pass.epilogue, &pass.merge}) {
            separate &= std::none_of(ops->begin(), ops->end(), [&](const TileOp &op) { return combines_rows(program, op); });
        }
        if (!separate) {
            return {strips.rows * strips.count, 1, {}};
        }
    }
    for (const auto &[name, life] : lives_of(program)) {
        if (!life.elsewhere && life.defined) {
            strips.local.insert(name);
        }
    }
    return strips;
}

void share_storage(const TileProgram &program, const Strips &strips, std::map<std::string, TileStorage> &storage) {
    const std::map<std::string, Life> lives = lives_of(program);
    for (const StreamPass &pass : program.passes) {
        const std::vector<TileOp> step = rows_last(program, pass.step);
        std::map<std::string, std::string> holder;  // who lives in an allocation
        for (size_t k = 0; k < step.size(); k++) {
            const std::string &name = step[k].dst;
            if (step[k].kind == TileOp::Kind::Store || !strips.local.count(name) || lives.at(name).first != k ||
                !has_axis(program.value(name).dims, program.query.name)) {
                continue;
            }
            TileStorage &own = storage.at(name);
            for (auto &[memory, other] : holder) {
                // A Map takes each element's place as it reads it; other ops need its operands whole.
                const size_t free_from = lives.at(other).last + (step[k].kind == TileOp::Kind::Map ? 0 : 1);
                if (free_from <= k && same_layout(own, storage.at(other))) {
                    own.name = memory;
                    break;
                }
            }
            holder[own.name] = name;
        }
    }
}

}  // namespace strobe::cpu
