import { listed } from './program.js';

/** Each is run by `bash -e -c` in an empty folder of its own. */
export const shell = listed({
  'a pipeline': 'seq 100 | grep 7 | sort -rn | head -3 | tr 7 x',
  'a here-document': 'cat <<X > f\nhello $((1+2))\nX\ncat f; cat <<< word',
  'background jobs': '(sleep 0.1; echo b) & echo a; wait; echo c; sleep 5 & kill $!; wait $! || echo $?',
  ulimit: 'ulimit -S -n 64; ulimit -n; ulimit -S -t 10; ulimit -t',
  mktemp: 'f=$(mktemp); d=$(mktemp -d); echo x > $f; cp $f $d/y; cat $d/y; rm -r $d $f',
  find: 'mkdir -p a/b/c; touch a/b/c/d a/e; find a | sort; find a -type f -exec basename {} \\; | sort; find a -name d -delete; find a | sort',
  'sort with temporary files': 'seq 20000 | sort -R -S 50k -T . | sort -n -S 50k | tail -1',
  tar: 'mkdir d; seq 10 > d/x; chmod 640 d/x; ln -s x d/l; tar czf t.tgz d; rm -r d; tar xzpf t.tgz; tail -1 d/l; tar tzf t.tgz | sort',
  'gzip, bzip2, xz': { code: 'seq 1000 > f; gzip -k f; gunzip -c f.gz | tail -1; gzip -f f; gunzip f.gz; bzip2 f; bunzip2 f.bz2; xz f; unxz f.xz; tail -1 f', needs: ['bzip2', 'xz'] },
  zip: { code: 'seq 10 > f; zip -q f.zip f; rm f; unzip -q f.zip; tail -1 f', needs: ['zip', 'unzip'] },
  git: {
    code: `git init -q -b main r; cd r; git config user.email a@b; git config user.name n
      echo 1 > f; git add .; git commit -qm one; echo 2 >> f; git diff --stat; git commit -qam two; git status --short; git log --format=%s
      git checkout -qb side HEAD~1; echo x > g; git add g; git commit -qm side; git merge -q -m merged main; cat f g; git gc -q; git stash list
      git clone -q . ../c; ls ../c; git worktree add -q ../w main; cat ../w/f; git archive main | tar t; git fsck --no-progress`,
    needs: ['git'],
  },
  'sed -i': 'echo abc > f; sed -i s/b/X/ f; cat f; sed -i.bak s/X/Y/ f; cat f f.bak',
  awk: `seq 10 | awk '{s+=$1} END {print s; print "x" > "out"; "echo sub" | getline y; print y; system("echo sys")}'; cat out`,
  make: { code: 'printf "all: b c\\n\\tcat b\\nb: a\\n\\tcp a b\\na:\\n\\techo hi > a\\nc:\\n\\ttouch c\\n" > Makefile; make -s -j4; make -q all || echo $?', needs: ['make'] },
  'gcc, ar, nm': { code: 'echo "int main(void){return 0;}" > a.c; gcc -O1 -Wall -o a a.c; test -s a; gcc -c a.c; ar rcs liba.a a.o; nm a.o | grep -c main', needs: ['gcc'] },
  'g++': { code: 'printf "#include <iostream>\\nint main(){std::cout<<1;}" > a.cc; g++ -o a a.cc; test -s a && echo built', needs: ['g++'] },
  sqlite3: { code: 'sqlite3 d.db "pragma journal_mode=wal; create table t(a); insert into t values(1),(2); select sum(a) from t; begin; insert into t values(3); commit; select count(*) from t; vacuum;"', needs: ['sqlite3'] },
  'modes and times': 'echo x > f; chmod 600 f; chmod u+x f; touch -d 2001-01-01 f; cp -p f g; install -m 600 f h; cat g h; mkdir -m 700 k; mv f k/; ls; chmod -R a+rX k; chmod 751 g; touch -h -d 2002-02-02 g; touch -d 2003-03-03 k; stat -c "%a %Y" g k k/f; ln -s g l; chown -h $(id -u) l; umask 022; touch n; stat -c %a n; mkdir m; chmod g+s,+t m; stat -c %A m | tail -c2',
  'dd, truncate, split': 'dd if=/dev/zero of=f bs=1k count=10 2>/dev/null; wc -c < f; dd if=/dev/urandom bs=8 count=1 2>/dev/null | wc -c; truncate -s 5 f; split -b 2 f s; ls; cat s?? | wc -c; df . > /dev/null; du -s . > /dev/null; sync f',
  'who and where': 'id -un; id -G; whoami; uname -s; nproc; hostname; getconf PAGE_SIZE; locale charmap; date -u -d @0 +%Y; TZ=Europe/Berlin date -d @0 +%H; echo ~root; stat -c %F /etc/passwd; test -w . && echo writable; command -v sh; which cat; arch; tty || true',
  'devices of the standard streams': '{ echo a > /dev/stderr; echo b > /dev/stdout; cat /dev/fd/0 < /dev/null; echo x | cat /dev/stdin; echo q | tee /dev/stderr; (echo x > /dev/full) 2>/dev/null || echo full; } 2>&1',
  'a named pipe': 'mkfifo p; (echo through > p) & cat p; wait',
  'process substitution and a coprocess': 'cat <(echo a) <(echo b); diff <(seq 3) <(seq 3) && echo same; coproc cat; echo hi >&${COPROC[1]}; read -u ${COPROC[0]} l; echo $l',
  'bash itself': 'a=(1 2 3); echo ${a[@]:1} ${#a[@]}; declare -A m; m[k]=v; echo ${m[k]}; [[ abc =~ b(.) ]] && echo ${BASH_REMATCH[1]}; mapfile -t l < <(seq 3); echo ${#l[@]}; printf "%(%Y)T\\n" 0; shopt -s globstar; mkdir -p x/y; touch x/y/z; echo **/z; set -o pipefail; f() { local v=1; return $v; }; f || echo $?',
  traps: `trap "echo got" USR1; kill -USR1 $$; bash -c 'kill -TERM $$' || echo $?; trap "echo leaving" EXIT`,
  'timeout, nice, nohup, setsid, env': 'timeout 0.1 sleep 5 || echo $?; nice -n 5 echo nice; nohup echo nohup 2>/dev/null; setsid echo session; env -i A=b /usr/bin/env; stdbuf -oL echo line; time -p true 2>/dev/null',
  xargs: 'seq 20 | xargs -P4 -n3 echo | wc -l; seq 5 | xargs echo; printf "a\\0b" | xargs -0 -n1',
  flock: { code: 'flock f echo locked; flock -n f sh -c "flock -n f true || echo busy"', needs: ['flock'] },
  links: 'echo 1 > a; ln a b; ln -s a c; readlink c; cat b c; stat -c %h a; test "$(realpath c)" = "$PWD/a"; rm a; cat b; unlink c; ls',
  'text tools': 'seq 5 > a; seq 2 6 > b; diff a b > p || true; patch -s a p; cmp a b && echo same; comm a b | wc -l; paste a b | head -1; md5sum a; sha256sum b; base64 a; od -c a | head -1; fold -w1 a | uniq -c | wc -l; cut -c1 a | tac | nl | head -1; expr 1 + 2; iconv -f utf8 -t latin1 a | wc -c; xxd a 2>/dev/null | head -1',
  perl: { code: `perl -e 'print join(",", map { $_*2 } 1..3), "\\n"; open(F,">f"); print F "x"; close F; print -s "f"; print \`echo sub\`; my $p = fork; if(!$p){exit 3} waitpid($p,0); print $?>>8; use File::Temp; my $t = File::Temp->new; print -e $t->filename'`, needs: ['perl'] },
  openssl: { code: 'echo x | openssl dgst -sha256; openssl rand 8 | wc -c; openssl genpkey -algorithm ed25519 -out k; openssl pkey -in k -pubout | head -1', needs: ['openssl'] },
  'curl without a network': { code: 'curl -s -m 3 http://127.0.0.1:9/ || echo refused; (echo > /dev/tcp/127.0.0.1/9) 2>/dev/null || echo refused', needs: ['curl'] },
  jq: { code: `echo '{"a":[1,2]}' | jq -c .a`, needs: ['jq'] },
  'a script by its interpreter': 'printf "#!/bin/sh\\necho run \\$1\\n" > s; chmod +x s; sh s a; . ./s; bash s b',
  'exit codes': 'false || echo $?; (exit 7) || echo $?; /does/not/exist 2>/dev/null || echo $?; ! true || echo no',
});
