//! nginx and HAProxy as processes of a test's own.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::certificate::Certificate;
use crate::pods::Pods;

/// One that is serving.
pub(crate) struct Running {
    child: Child,
    port: u16,
    place: TempDir,
}

/// How to make one serve.
pub(crate) trait Balancer: Sized {
    /// The program, and its configuration for this port and directory.
    fn command(&self, port: u16, place: &Path) -> Command;

    /// Starts it on a free port.
    fn start(self) -> Running {
        // Somebody else may take the port between our look and its bind: then it ends at once, and another is tried.
        for _ in 0..5 {
            let port = free_port();
            let place = tempfile::tempdir().expect("a place");
            let mut command = self.command(port, place.path());
            let output = fs::File::create(place.path().join("output")).expect("a file");
            let again = output.try_clone().expect("a descriptor");
            let child =
                command.stdin(Stdio::null()).stdout(output).stderr(again).spawn().unwrap_or_else(|error| {
                    panic!(
                        "{:?}: {error}: tests/all installs the Debian packages nginx-light and haproxy",
                        command.get_program()
                    )
                });
            let mut running = Running { child, port, place };
            if running.serves() {
                return running;
            }
            eprintln!("{}", fs::read_to_string(running.place.path().join("output")).unwrap_or_default());
        }
        panic!("it does not start");
    }
}

impl Running {
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Reads its configuration again, as an operator would have it do.
    pub(crate) fn reload(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).expect("it runs");
    }

    /// Its directory.
    pub(crate) fn place(&self) -> &Path {
        self.place.path()
    }

    /// What it has served.
    pub(crate) fn access_log(&self) -> String {
        fs::read_to_string(self.place.path().join("access.log")).unwrap_or_default()
    }

    fn serves(&mut self) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(20) {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                // Somebody else may be listening there, and then ours is about to end.
                thread::sleep(Duration::from_millis(200));
                return self.child.try_wait().expect("a child of ours").is_none();
            }
            if self.child.try_wait().expect("a child of ours").is_some() {
                return false;
            }
            thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // nginx's master takes its workers with it only when it may say goodbye.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

/// A configuration as it is shipped in `deploy`, with this test's three pods, certificate and port in it.
struct Shipped {
    text: &'static str,
    replace: Vec<(String, String)>,
}

impl Shipped {
    fn new(text: &'static str, pods: &Pods) -> Self {
        assert_eq!(pods.addresses.len(), 3, "as many as the shipped files have");
        let pods = (1..).zip(&pods.addresses);
        let replace =
            pods.map(|(number, address)| (format!("pod-{number}.example.com:8000"), address.clone()));
        Self { text, replace: replace.collect() }
    }

    fn put(mut self, there: &str, here: &Path) -> Self {
        self.replace.push((there.to_owned(), here.display().to_string()));
        self
    }

    fn on(&self, there: &str, port: u16) -> String {
        let listen = (there.to_owned(), format!("127.0.0.1:{port}"));
        // First, for a pod's port may have the same digits in it.
        std::iter::once(&listen).chain(&self.replace).fold(self.text.to_owned(), |text, (there, here)| {
            assert!(text.contains(there), "the shipped file has no {there}");
            text.replace(there, here)
        })
    }
}

/// nginx as `deploy/nginx.conf` has it.
pub(crate) struct ShippedNginx(Shipped);

impl ShippedNginx {
    pub(crate) fn new(pods: &Pods, certificate: &Certificate) -> Self {
        let shipped = Shipped::new(include_str!("../../deploy/nginx.conf"), pods)
            .put("/etc/ssl/certs/chat.example.com.pem", &certificate.path())
            .put("/etc/ssl/private/chat.example.com.key", &certificate.key());
        Self(shipped)
    }
}

impl Balancer for ShippedNginx {
    fn command(&self, port: u16, place: &Path) -> Command {
        nginx(place, "", &self.0.on("443", port))
    }
}

/// HAProxy as `deploy/haproxy.cfg` has it.
pub(crate) struct ShippedHaproxy(Shipped);

impl ShippedHaproxy {
    pub(crate) fn new(pods: &Pods, certificate: &Certificate) -> Self {
        let shipped = Shipped::new(include_str!("../../deploy/haproxy.cfg"), pods)
            .put("/etc/ssl/private/chat.example.com.pem", &certificate.both())
            // Two descriptors a connection, and this machine may not have so many.
            .put("maxconn 20000", Path::new("maxconn 4000"));
        Self(shipped)
    }
}

impl Balancer for ShippedHaproxy {
    fn command(&self, port: u16, place: &Path) -> Command {
        haproxy(place, &self.0.on(":443", port))
    }
}

/// nginx in front of pods.
pub(crate) struct Nginx {
    read_timeout: &'static str,
    upgrade: bool,
    upstream: String,
    tls: String,
    name: &'static str,
    /// What is in the location of `/v1/sync` alone; empty: there is none.
    sync: String,
    main: String,
    /// Beside the upstream, in `http`.
    maps: &'static str,
}

impl Nginx {
    pub(crate) fn new(pods: &Pods) -> Self {
        let servers = pods.addresses.iter().fold(String::new(), |mut text, address| {
            let _ = writeln!(text, "    server {address};");
            text
        });
        Self {
            read_timeout: "90s",
            upgrade: true,
            upstream: servers,
            tls: String::new(),
            name: "_",
            sync: String::new(),
            main: String::new(),
            maps: "",
        }
    }

    /// Pods are chosen so (`random;`, `hash …;`), with maps for it if it needs some.
    pub(crate) fn choosing(mut self, by: &'static str, maps: &'static str) -> Self {
        self.upstream.insert_str(0, &format!("    {by}\n"));
        self.maps = maps;
        self
    }

    pub(crate) fn with_tls(mut self, certificate: &Certificate) -> Self {
        let (certificate, key) = (certificate.path(), certificate.key());
        self.tls =
            format!("ssl_certificate {}; ssl_certificate_key {};", certificate.display(), key.display());
        self
    }

    /// `proxy_read_timeout`
    pub(crate) fn reading_for(mut self, timeout: &'static str) -> Self {
        self.read_timeout = timeout;
        self
    }

    /// `proxy_read_timeout` of sync alone.
    pub(crate) fn polling_for(mut self, timeout: &str) -> Self {
        self.sync = format!("proxy_read_timeout {timeout};");
        self
    }

    /// Whatever long poll is asked for, the pod is asked for one of this many milliseconds: as a server with a cap.
    pub(crate) fn capping_polls_at(mut self, millis: u32) -> Self {
        self.sync = format!(
            "proxy_read_timeout 90s; if ($args ~ \"^(.*)timeout=[0-9][0-9][0-9][0-9]+$\") {{ set $args \"$1timeout={millis}\"; }}"
        );
        self
    }

    /// Pods that time out are not given up for a while.
    pub(crate) fn never_giving_up(mut self) -> Self {
        self.upstream = self.upstream.replace(";\n", " max_fails=0;\n");
        self
    }

    /// As nginx is without a word about WebSocket.
    pub(crate) fn without_upgrade(mut self) -> Self {
        self.upgrade = false;
        self
    }

    /// It answers to this name alone.
    pub(crate) fn named(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    /// After a reload, connections of the workers before it are cut soon.
    pub(crate) fn cutting_old_workers(mut self) -> Self {
        self.main.push_str("worker_shutdown_timeout 500ms;\n");
        self
    }
}

impl Balancer for Nginx {
    fn command(&self, port: u16, place: &Path) -> Command {
        let Self { read_timeout, upgrade, upstream, tls, name, sync, main, maps } = self;
        let upgrade = if *upgrade { "$http_upgrade" } else { "''" };
        let listen = if tls.is_empty() { "" } else { " ssl" };
        let sync = if sync.is_empty() {
            String::new()
        } else {
            format!("location /v1/sync {{ proxy_pass http://pods; {sync} }}")
        };
        let http = format!(
            r#"  map {upgrade} $connection_upgrade {{ default upgrade; '' ''; }}
  {maps}
  upstream pods {{
{upstream}    keepalive 64;
  }}
  server {{
    listen 127.0.0.1:{port}{listen};
    server_name {name};
    {tls}
    proxy_http_version 1.1;
    proxy_set_header Host $host;
    proxy_set_header Upgrade {upgrade};
    proxy_set_header Connection $connection_upgrade;
    proxy_send_timeout 90s;
    add_header X-Served-By $upstream_addr always;
    location / {{
      proxy_pass http://pods;
      proxy_read_timeout {read_timeout};
    }}
    {sync}
  }}
"#
        );
        nginx(place, main, &http)
    }
}

/// Each pod on a loopback address of its own, all on one port, as a name with many addresses has them; and one more address
/// that takes turns.
pub(crate) struct OnePort(Vec<String>);

impl OnePort {
    pub(crate) fn new(pods: &Pods) -> Self {
        Self(pods.addresses.clone())
    }

    /// The address of the pod with this index.
    pub(crate) fn address(pod: usize) -> String {
        format!("127.0.0.{}", 2 + pod)
    }
}

impl Balancer for OnePort {
    fn command(&self, port: u16, place: &Path) -> Command {
        let mut http = String::from(
            "  map $http_upgrade $connection_upgrade { default upgrade; '' ''; }\n  upstream pods {\n    ip_hash;\n",
        );
        for address in &self.0 {
            let _ = writeln!(http, "    server {address};");
        }
        http.push_str("  }\n");
        let each = self.0.iter().enumerate().map(|(index, pod)| (Self::address(index), pod.as_str()));
        for (address, to) in each.chain([("127.0.0.1".to_owned(), "pods")]) {
            let _ = writeln!(
                http,
                "  server {{ listen {address}:{port}; location / {{ proxy_pass http://{to}; proxy_http_version 1.1; \
                 proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade; }} }}"
            );
        }
        nginx(place, "", &http)
    }
}

/// So many of the pods as a command says: they share the balancer's address, and each of them has one more of its own, as
/// long as it is there.
pub(crate) struct Scaled(Vec<String>);

impl Scaled {
    pub(crate) fn new(pods: &Pods) -> Self {
        Self(pods.addresses.clone())
    }

    /// The address of the pod with this index, while it is there.
    pub(crate) fn address(pod: usize) -> String {
        OnePort::address(pod)
    }

    /// Writes the part of nginx's configuration that says which pods there are.
    fn write(&self, pods: usize, port: u16, file: &Path) {
        let there = &self.0[..pods];
        let mut text = String::from("upstream pods {\n  least_conn;\n");
        for pod in there {
            let _ = writeln!(text, "  server {pod};");
        }
        text.push_str("}\n");
        for (index, pod) in there.iter().enumerate() {
            let address = Self::address(index);
            let _ = writeln!(
                text,
                "server {{ listen {address}:{port}; location / {{ proxy_pass http://{pod}; }} }}"
            );
        }
        fs::write(file, text).expect("written");
    }
}

impl Balancer for Scaled {
    /// All of them are there to begin with; `scale N` in its directory makes it N.
    fn command(&self, port: u16, place: &Path) -> Command {
        for pods in 1..=self.0.len() {
            self.write(pods, port, &place.join(format!("pods-{pods}.conf")));
        }
        self.write(self.0.len(), port, &place.join("pods.conf"));
        let directory = place.display();
        let script = format!(
            "#!/bin/sh\nset -e\ncd {directory}\necho \"$@\" >> scaled\ncp pods-$1.conf pods.conf\nkill -HUP $(cat pid)\n"
        );
        fs::write(place.join("scale"), script).expect("written");
        let http = format!(
            "  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}\n  include {directory}/pods.conf;\n  \
             server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://pods; proxy_http_version 1.1; \
             proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade; }} }}\n"
        );
        nginx(place, "", &http)
    }
}

/// nginx with this in its `http`, and nothing outside of `place`.
fn nginx(place: &Path, main: &str, http: &str) -> Command {
    let (directory, user) = (place.display(), if is_root() { "user root;" } else { "" });
    let text = format!(
        r#"daemon off;
worker_processes 1;
{user}
pid {directory}/pid;
error_log {directory}/error.log;
{main}
events {{ worker_connections 8192; }}
http {{
  log_format told 'from=$remote_addr host=$host test=$http_x_test_run status=$status';
  access_log {directory}/access.log told;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
{http}}}
"#
    );
    let path = place.join("nginx.conf");
    fs::write(&path, text).expect("written");
    let mut command = Command::new(program("nginx"));
    command.arg("-e").arg(place.join("error.log")).arg("-p").arg(place).arg("-c").arg(path);
    command
}

/// HAProxy in front of pods.
pub(crate) struct Haproxy {
    servers: String,
    tls: String,
    by: &'static str,
    tunnel_timeout: &'static str,
    server_timeout: &'static str,
    /// Lines of its frontend.
    rules: String,
}

impl Haproxy {
    pub(crate) fn new(pods: &Pods) -> Self {
        let servers = (1..).zip(&pods.addresses).fold(String::new(), |mut text, (number, address)| {
            let _ = writeln!(text, "  server pod-{number} {address} cookie pod-{number}");
            text
        });
        Self {
            servers,
            tls: String::new(),
            by: "balance roundrobin",
            tunnel_timeout: "90s",
            server_timeout: "90s",
            rules: String::new(),
        }
    }

    /// Pods are chosen so: lines of the backend.
    pub(crate) fn choosing(mut self, by: &'static str) -> Self {
        self.by = by;
        self
    }

    /// `timeout tunnel`
    pub(crate) fn tunnel_for(mut self, timeout: &'static str) -> Self {
        self.tunnel_timeout = timeout;
        self
    }

    /// `timeout server`
    pub(crate) fn answering_within(mut self, timeout: &'static str) -> Self {
        self.server_timeout = timeout;
        self
    }

    /// One more line for its frontend.
    pub(crate) fn with(mut self, rule: &str) -> Self {
        let _ = writeln!(self.rules, "  {rule}");
        self
    }

    pub(crate) fn with_tls(mut self, certificate: &Certificate) -> Self {
        self.tls = format!(" ssl crt {}", certificate.both().display());
        self
    }
}

impl Balancer for Haproxy {
    fn command(&self, port: u16, place: &Path) -> Command {
        let Self { servers, tls, by, tunnel_timeout, server_timeout, rules } = self;
        let text = format!(
            "global\n  maxconn 8192\ndefaults\n  mode http\n  timeout connect 5s\n  timeout client 90s\n  \
             timeout server {server_timeout}\n  timeout tunnel {tunnel_timeout}\nfrontend stream\n  \
             bind 127.0.0.1:{port}{tls}\n{rules}  default_backend pods\nbackend pods\n  {by}\n  \
             http-response set-header X-Served-By %s\n{servers}"
        );
        haproxy(place, &text)
    }
}

fn haproxy(place: &Path, text: &str) -> Command {
    let path = place.join("haproxy.cfg");
    fs::write(&path, text).expect("written");
    let mut command = Command::new(program("haproxy"));
    command.arg("-db").arg("-f").arg(path);
    command
}

/// One that nobody listens on, and that no other test of this process was given: two HAProxies would share it.
fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        if GIVEN.lock().expect("no panic in here").insert(port) {
            return port;
        }
    }
}

/// Where Debian puts it, which is not in everybody's PATH.
fn program(name: &str) -> PathBuf {
    let debian = Path::new("/usr/sbin").join(name);
    if debian.exists() { debian } else { PathBuf::from(name) }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
