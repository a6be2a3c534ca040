"""The head of every page: name, status strip and sign-in."""

from ui.pages.panel import panel

HEAD = """
<header class="co-head">
  <h1 class="co-name">CloudOptim <span>ML Server</span></h1>
  <strong id="co-simulated" class="co-banner" hidden>SIMULATED MARKET</strong>
  <div id="co-strip" class="co-strip co-signed-in" aria-live="polite">
    <span class="co-fact"><b>Interruption</b> <span id="co-model-spot_interruption">no model active</span></span>
    <span class="co-fact"><b>Price</b> <span id="co-model-spot_price">no model active</span></span>
    <span class="co-fact"><b>Engine</b> <span id="co-engine">none selected</span></span>
    <span class="co-fact"><b>Data</b> <span id="co-age">waiting</span></span>
    <span class="co-fact"><i id="co-feed-dot" class="co-dot" data-state="connecting"></i>
      <span id="co-feed">connecting</span></span>
  </div>
  <div class="co-who"><button type="button" id="co-zone-switch" class="co-quiet">UTC</button>
    <button type="button" id="co-scheme" class="co-quiet">Dark</button>
    <span class="co-signed-in"><span id="co-who"></span>
      <button type="button" id="co-sign-out" class="co-quiet">Sign out</button></span></div>
  <nav class="co-nav co-signed-in" aria-label="Pages">
    <a id="co-to-live" href="?view=live">Live</a>
    <a id="co-to-models" href="?view=models">Models</a>
    <a id="co-to-engines" href="?view=engines">Engines</a>
    <a id="co-to-gap-filler" href="?view=gap-filler">Gap filler</a>
  </nav>
</header>
"""

SIGN_IN = """
<section class="co-panel co-sign-in" aria-labelledby="co-sign-in-title">
  <h2 id="co-sign-in-title">Sign in</h2>
  <p class="co-note">With an API token of the server. The first start prints one, and a link that signs in by itself;
    <code>cloudoptim keys create</code> makes more.</p>
  <form id="co-sign-in-form" class="co-form">
    <input type="text" name="username" autocomplete="username" value="token" hidden>
    <label class="co-field">Token <input id="co-token" type="password" autocomplete="current-password" required></label>
    <button type="submit" class="co-primary">Sign in</button>
  </form>
  <div id="co-sign-in-problem" class="co-problem" role="alert" hidden></div>
</section>
"""


def build() -> None:
    """The head and the sign-in panel."""
    panel(HEAD, "co-head")
    panel(SIGN_IN, "co-signed-out")
