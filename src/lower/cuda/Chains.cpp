#include "Chains.h"

#include <algorithm>

namespace strobe::cuda {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** The values in registers that an operation reads or writes. */
std::set<std::string> values_of(const TileProgram &program, const TileOp &op) {
    std::set<std::string> names;
    for (const TileValue &v : program.values) {
        const bool named = v.name == op.dst || v.name == op.a || v.name == op.b ||
                           (op.expr.defined() && expr_uses_var(op.expr, v.name));
        if (named && v.place != Place::Shared) {
            names.insert(v.name);
        }
    }
    return names;
}

/** Merges the sets that meet `names` into one, and `names` into that. */
void merge(std::vector<std::set<std::string>> &sets, std::set<std::string> names) {
    std::vector<std::set<std::string>> apart;
    for (std::set<std::string> &s : sets) {
        if (std::any_of(s.begin(), s.end(), [&](const std::string &n) { return names.count(n); })) {
            names.insert(s.begin(), s.end());
        } else {
            apart.push_back(std::move(s));
        }
    }
    apart.push_back(std::move(names));
    sets = std::move(apart);
}

bool accumulates(const StreamPass &pass, const std::set<std::string> &chain) {
    return std::any_of(pass.step.begin(), pass.step.end(), [&](const TileOp &op) {
        return op.kind == TileOp::Kind::Contract && op.accumulate && chain.count(op.dst) && chain.count(op.a);
    });
}

const TileValue *foreign_fragment(const TileProgram &program, const std::vector<std::set<std::string>> &chains,
                                  const Expr &e) {
    for (const TileValue &v : program.values) {
        for (size_t c = 1; c < chains.size(); c++) {
            if (v.dims.size() == 2 && chains[c].count(v.name) && e.defined() && expr_uses_var(e, v.name)) {
                return &v;
            }
        }
    }
    return nullptr;
}

}  // namespace

std::vector<std::set<std::string>> chains_of(const TileProgram &program, const StreamPass &pass) {
    std::vector<std::set<std::string>> sets;
    for (const TileOp &op : pass.step) {
        if (op.kind != TileOp::Kind::Load) {
            merge(sets, values_of(program, op));
        }
    }
    std::vector<std::set<std::string>> chains;
    std::set<std::string> others;
    for (const std::set<std::string> &s : sets) {
        if (accumulates(pass, s)) {
            chains.push_back(s);
        } else {
            others.insert(s.begin(), s.end());
        }
    }
    if (chains.empty()) {
        return {others};
    }
    // In the order of the step, whatever the merging made of it.
    const auto first_use = [&](const std::set<std::string> &chain) {
        return std::find_if(pass.step.begin(), pass.step.end(), [&](const TileOp &op) { return chain.count(op.dst); }) -
               pass.step.begin();
    };
    std::sort(chains.begin(), chains.end(), [&](const auto &a, const auto &b) { return first_use(a) < first_use(b); });
    chains[0].insert(others.begin(), others.end());
    return chains;
}

TileProgram with_chains_apart(const TileProgram &program) {
    TileProgram result = program;
    const std::vector<std::set<std::string>> chains = chains_of(program, program.passes[0]);
    std::vector<TileOp> epilogue;
    for (TileOp op : program.passes[0].epilogue) {
        const TileValue *fragment = foreign_fragment(program, chains, op.expr);
        const bool is_map = op.kind == TileOp::Kind::Map && program.value(op.dst).dims.size() == 2;
        if (fragment && !is_map) {
            const Cast *rounded = op.expr.as<Cast>();
            const bool narrows = rounded && rounded->value.type() == Float(32);
            TileValue whole;
            whole.name = op.dst + ".whole";
            whole.type = Float(32);
            whole.dims = fragment->dims;
            result.values.push_back(whole);
            TileOp map;
            map.kind = TileOp::Kind::Map;
            map.dst = whole.name;
            map.expr = narrows ? rounded->value : op.expr;
            epilogue.push_back(map);
            const Expr value = Variable::make(Float(32), whole.name);
            op.expr = narrows ? cast(rounded->type, value) : value;
        }
        epilogue.push_back(op);
    }
    result.passes[0].epilogue = epilogue;
    return result;
}

}  // namespace strobe::cuda
