#include "execute/PackageCache.h"

#include "support/Error.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <set>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace strobe;
namespace fs = std::filesystem;

namespace {

class Cache : public ::testing::Test {
protected:
    fs::path folder;

    void SetUp() override {
        char pattern[] = "/tmp/strobe-cache-XXXXXX";
        folder = mkdtemp(pattern);
    }
    void TearDown() override {
        fs::remove_all(folder);
    }

    /** A package whose content tells its key. */
    static KernelPackage package_for(const std::string &key) {
        KernelPackage package;
        package.name = "sample";
        package.architecture = "sm_90a";
        package.buffers = {{"out", {2, 32}, 1, true}};
        KernelSpec kernel;
        kernel.entry = "kernel";
        kernel.threads = 32;
        LaunchPlan plan;
        plan.kernels = {kernel};
        package.plans = {plan};
        package.code = "code of " + key + std::string(100000, 'x');
        return package;
    }

    static bool holds(const PackageCache &cache, const std::string &key) {
        const std::optional<KernelPackage> found = cache.find(key);
        EXPECT_TRUE(!found || found->code == package_for(key).code) << "a wrong kernel for " << key;
        return found.has_value();
    }

    static std::vector<char> read(const std::string &path) {
        std::ifstream file(path, std::ios::binary);
        return {std::istreambuf_iterator<char>(file), {}};
    }
    static void write(const std::string &path, const std::vector<char> &bytes) {
        std::ofstream(path, std::ios::binary).write(bytes.data(), long(bytes.size()));
    }

    void expect_refused(const std::string &path, const std::string &words) {
        try {
            PackageCache cache{path};
            FAIL() << "accepted " << path << "; expected: " << words;
        } catch (const RuntimeFailure &e) {
            EXPECT_NE(std::string(e.what()).find(words), std::string::npos) << "got: " << e.what();
        }
    }
};

}  // namespace

TEST_F(Cache, KeepsWhatWasPublished) {
    const PackageCache cache(folder / "new" / "deep");
    EXPECT_FALSE(holds(cache, "a"));
    cache.publish("a", package_for("a"));
    EXPECT_TRUE(holds(cache, "a"));
    EXPECT_FALSE(holds(cache, "b"));
    EXPECT_TRUE(holds(PackageCache(folder / "new" / "deep"), "a"));
    struct stat s = {};
    ASSERT_EQ(stat((folder / "new" / "deep").c_str(), &s), 0);
    EXPECT_EQ(s.st_mode & 0777, 0700u);
}

TEST_F(Cache, EveryFieldIsPartOfTheKey) {
    const std::string text = R"({"strobe":1,"scalars":[{"max":40}],"value":["const","float32",0.125]})";
    std::set<std::string> keys = {package_key(text, "sm_90a")};
    const std::pair<std::string, std::string> changes[] = {{"0.125", "0.1251"}, {"float32", "float16"}, {"40", "41"}};
    for (const auto &[from, to] : changes) {
        std::string other = text;
        other.replace(other.find(from), from.size(), to);
        EXPECT_TRUE(keys.insert(package_key(other, "sm_90a")).second) << to;
    }
    EXPECT_TRUE(keys.insert(package_key(text, "sm_80")).second);
    EXPECT_EQ(package_key(text, "sm_90a"), package_key(text, "sm_90a"));
    EXPECT_NE(package_key(text, "sm_90a").find("halide 21"), std::string::npos);
    EXPECT_NE(package_key(text, "sm_90a").find("ptxas "), std::string::npos);
    // Installed kernels are those of a build, whatever ptxas is here.
    EXPECT_TRUE(keys.insert(installed_package_key(text, "sm_90a")).second);
    EXPECT_EQ(installed_package_key(text, "sm_90a").find("ptxas "), std::string::npos);
}

TEST_F(Cache, InstalledKernelsNeedNoPrivateFolder) {
    fs::create_directory(folder / "kernels");
    chmod((folder / "kernels").c_str(), 0755);
    const PackageCache installed = PackageCache::installed(folder / "kernels");
    EXPECT_FALSE(holds(installed, "a"));
    installed.publish("a", package_for("a"));
    EXPECT_TRUE(holds(installed, "a"));
    EXPECT_FALSE(holds(PackageCache::installed(folder / "nowhere"), "a"));
}

TEST_F(Cache, KeysThatMeetInOneFileAreToldApart) {
    const PackageCache cache(folder / "c");
    cache.publish("a", package_for("a"));
    fs::copy_file(cache.path_of("a"), cache.path_of("b"));  // as if the hashes were equal
    EXPECT_FALSE(holds(cache, "b"));
}

TEST_F(Cache, DamagedEntriesCountAsAbsent) {
    const PackageCache cache(folder / "c");
    cache.publish("a", package_for("a"));
    const std::vector<char> good = read(cache.path_of("a"));
    ASSERT_GT(good.size(), 100000u);
    std::mt19937 random(1);
    for (int n = 0; n < 300; n++) {
        std::vector<char> bad = good;
        if (n % 3 == 0) {
            bad.resize(n < 150 ? size_t(n) : random() % good.size());
        } else {
            // Lengths and key first, then anywhere.
            bad[n % 3 == 1 ? random() % 40 : random() % good.size()] ^= char(1 << random() % 8);
        }
        write(cache.path_of("a"), bad);
        EXPECT_FALSE(holds(cache, "a")) << "damage " << n;
    }
    cache.publish("a", package_for("a"));
    EXPECT_TRUE(holds(cache, "a"));
}

TEST_F(Cache, ProcessesRaceAndDie) {
    std::vector<pid_t> children;
    for (int n = 0; n < 16; n++) {
        const pid_t child = fork();
        ASSERT_GE(child, 0);
        if (child == 0) {
            const PackageCache cache(folder / "c");
            for (int turn = 0; turn < 40; turn++) {
                const std::string key = "key" + std::to_string(turn % 3);
                const std::optional<KernelPackage> found = cache.find(key);
                if (found && found->code != package_for(key).code) {
                    _exit(1);
                }
                cache.publish(key, package_for(key));
            }
            _exit(0);
        }
        children.push_back(child);
    }
    std::mt19937 random(2);
    for (int n = 0; n < 6; n++) {
        usleep(random() % 3000);
        kill(children[size_t(n)], SIGKILL);
    }
    for (const pid_t child : children) {
        int status = 0;
        waitpid(child, &status, 0);
        EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0) << "a process read a wrong kernel";
    }
    const PackageCache cache(folder / "c");
    for (int n = 0; n < 3; n++) {
        EXPECT_TRUE(holds(cache, "key" + std::to_string(n)));
    }
}

TEST_F(Cache, RefusesFoldersThatAreNotPrivate) {
    fs::create_directory(folder / "open");
    chmod((folder / "open").c_str(), 0755);
    expect_refused(folder / "open", "mode 0700");
    chmod((folder / "open").c_str(), 0777);
    expect_refused(folder / "open", "mode 0700");
    expect_refused(folder / "open" / "inner", "others may write to " + (folder / "open").string());

    fs::create_directory(folder / "mine");
    chmod((folder / "mine").c_str(), 0700);
    fs::create_directory_symlink(folder / "mine", folder / "link");
    expect_refused(folder / "link", "symbolic link");
    EXPECT_THROW(PackageCache("relative"), UserError);
    std::ofstream(folder / "file") << "x";
    expect_refused(folder / "file", "is not a folder");
}

TEST_F(Cache, RefusesAnotherUsersFolder) {
    if (geteuid() != 0) {
        GTEST_SKIP() << "only root can give a folder away";
    }
    fs::create_directories(folder / "theirs" / "inner");
    chmod((folder / "theirs" / "inner").c_str(), 0700);
    ASSERT_EQ(chown((folder / "theirs" / "inner").c_str(), 54321, 54321), 0);
    expect_refused(folder / "theirs" / "inner", "it must be yours");
    ASSERT_EQ(chown((folder / "theirs").c_str(), 54321, 54321), 0);
    ASSERT_EQ(chown((folder / "theirs" / "inner").c_str(), 0, 0), 0);
    expect_refused(folder / "theirs" / "inner", "belongs to another user");
}

TEST_F(Cache, RefusesAnEntryThatIsALink) {
    const PackageCache cache(folder / "c");
    cache.publish("a", package_for("a"));
    fs::rename(cache.path_of("a"), folder / "elsewhere");
    fs::create_symlink(folder / "elsewhere", cache.path_of("a"));
    EXPECT_FALSE(holds(cache, "a"));
}

TEST_F(Cache, FolderFromTheEnvironment) {
    setenv("STROBE_CACHE", "/somewhere", 1);
    EXPECT_EQ(default_cache_folder(), "/somewhere");
    setenv("STROBE_CACHE", "off", 1);
    EXPECT_EQ(default_cache_folder(), "");
    unsetenv("STROBE_CACHE");
    setenv("XDG_CACHE_HOME", "/cache", 1);
    EXPECT_EQ(default_cache_folder(), "/cache/strobe");
    unsetenv("XDG_CACHE_HOME");
    setenv("HOME", "/me", 1);
    EXPECT_EQ(default_cache_folder(), "/me/.cache/strobe");
}
